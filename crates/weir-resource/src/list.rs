//! Lists: filters, search, ordering and pages over documents in memory and over tables in SQL.

use crate::{
    Condition, HookSet, Keep, ListQuery, Object, Snapshot, Stored, Unit, beside::Beside, counts::Count,
    list_query::spellings, order::By, store, table,
};
use serde_json::{Value, json};
use std::{cmp::Ordering, collections::BTreeMap};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Field, Kind, Map, ResourceType, TableDef, validate::check_kind};
use weir_store::{Val, escape_like};

/// Which objects the caller may see at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Visible {
    /// Every one.
    All,
    /// Those whose owner field names this user, and those with these keys.
    Some {
        /// The caller.
        owner: i64,
        /// Keys with an object permission.
        keys: Vec<String>,
    },
}

/// One page of objects and the numbers around it.
pub struct Page {
    /// The objects.
    pub rows: Vec<Stored>,
    /// All matches.
    pub count: u64,
    /// Number of this page, from 1.
    pub current: u64,
    /// Objects per page.
    pub size: u64,
}

impl Page {
    /// The page as the contract's paginated list.
    pub fn body(&self, results: Vec<Map>) -> Value {
        let total = self.count.div_ceil(self.size).max(1);
        let start = if self.count == 0 { 0 } else { (self.current - 1) * self.size + 1 };
        let end = if self.count == 0 { 0 } else { (self.current * self.size).min(self.count) };
        json!({
            "pagination": {
                "next": if self.current < total { self.current + 1 } else { 0 },
                "previous": self.current - 1,
                "count": self.count,
                "current": self.current,
                "total_pages": total,
                "start_index": start,
                "end_index": end,
            },
            "results": results,
            "autocomplete": {},
        })
    }
}

/// Reads a filter's value in the field's type.
///
/// # Errors
/// 400 under the parameter's name.
fn filter_value(field: &Field, look_up: &str, value: &str) -> Result<Value, ApiError> {
    if look_up == "isnull" {
        return Ok(Value::Bool(["true", "True", "1"].contains(&value)));
    }
    let kind = match &field.kind {
        Kind::List(item) => item,
        kind => kind,
    };
    // A filter may look for the empty text and for texts that would not be accepted.
    let kind = if matches!(kind, Kind::Text { .. }) {
        &Kind::Text { blank: true, max: None, pattern: None, format: None }
    } else {
        kind
    };
    check_kind(kind, &Value::from(value)).map_err(|(text, code)| {
        let text = match code {
            "invalid_choice" => {
                format!("Select a valid choice. {value} is not one of the available choices.")
            }
            "uuid" => "Enter a valid UUID.".to_owned(),
            _ => text,
        };
        ApiError::field(&field.name, text)
    })
}

impl Unit<'_> {
    /// A page of objects of one kind.
    ///
    /// # Errors
    /// 400 for a bad filter, 404 for a page beyond the end, those of the store.
    pub async fn list(
        &mut self,
        kind: &'static ResourceType,
        query: &ListQuery,
        visible: &Visible,
    ) -> Result<Page, ApiError> {
        match kind.backing {
            Backing::Document => {
                let query = self.resolve_references(kind, query).await?;
                list_documents(&self.snapshot, &self.site.hooks, &[kind], &query, visible)
            }
            Backing::Table(def) => self.list_table(kind, def, query, visible).await,
        }
    }

    /// A page over several kinds of documents (`…/all/`).
    ///
    /// # Errors
    /// As [`Unit::list`].
    pub fn list_family(
        &self,
        kinds: &[&'static ResourceType],
        query: &ListQuery,
        visible: &Visible,
    ) -> Result<Page, ApiError> {
        list_documents(&self.snapshot, &self.site.hooks, kinds, query, visible)
    }

    async fn list_table(
        &mut self,
        kind: &'static ResourceType,
        def: &'static TableDef,
        query: &ListQuery,
        visible: &Visible,
    ) -> Result<Page, ApiError> {
        let (current, size) = query.page(&self.snapshot)?;
        let (where_sql, mut vals) = self.wheres(kind, def, query, visible)?.finish();
        let skip = (current - 1).saturating_mul(size);
        let Count { number: count, is_exact } = self.count(kind, def, (&where_sql, &vals), skip, size).await?;
        if current > 1 && skip >= count {
            return Err(ApiError::NotFound("Invalid page.".to_owned()));
        }
        let mut order: Vec<(String, bool)> = query
            .ordering(kind, &self.site.hooks)
            .into_iter()
            .filter_map(|(by, down)| match by {
                By::Field(field) => {
                    let is_linked = def.links.iter().any(|l| l.field == field.name);
                    (!is_linked).then(|| (table::column(&field.name), down))
                }
                By::Key => Some((def.pk.to_owned(), down)),
                By::Column(column) => Some((table::column(column), down)),
                By::Created | By::Changed => None,
            })
            .collect();
        // The key makes the order total, so that pages neither repeat nor skip.
        order.push((def.pk.to_owned(), false));
        // Pages near the end are read from there: both databases walk over everything that is to be skipped.
        let left = count.saturating_sub(skip);
        let is_nearer_to_the_end = is_exact && skip > left;
        let (limit, offset) =
            if is_nearer_to_the_end { (left.min(size), left.saturating_sub(size)) } else { (size, skip) };
        let order: Vec<String> = order
            .into_iter()
            .map(|(column, down)| if down == is_nearer_to_the_end { column } else { column + " DESC" })
            .collect();
        let sql = format!(
            "SELECT * FROM {}{where_sql} ORDER BY {} LIMIT ${} OFFSET ${}",
            def.table,
            order.join(", "),
            vals.len() + 1,
            vals.len() + 2
        );
        vals.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        vals.push(i64::try_from(offset).unwrap_or(i64::MAX).into());
        let mut rows = self.tx.read(&sql, &vals).await.map_err(store)?;
        if is_nearer_to_the_end {
            rows.reverse();
        }
        let rows = table::read_rows(self.site, Some(&mut self.tx), kind, def, rows).await?;
        Ok(Page { rows: rows.into_iter().map(|r| r.stored).collect(), count, current, size })
    }

    /// Up to `limit` objects of a table in the kind's own order, after one that was read before: for whoever reads all of
    /// a long list. The order the query asks for does not count.
    ///
    /// # Errors
    /// 400 for a bad filter, those of the store.
    pub async fn list_after(
        &mut self,
        kind: &'static ResourceType,
        query: &ListQuery,
        visible: &Visible,
        after: Option<&Stored>,
        limit: i64,
    ) -> Result<Vec<Stored>, ApiError> {
        let Backing::Table(def) = kind.backing else { return Ok(Vec::new()) };
        let mut wheres = self.wheres(kind, def, query, visible)?;
        let (name, down) = kind.order.strip_prefix('-').map_or((kind.order, false), |name| (name, true));
        let field = kind.fields.iter().find(|field| field.name == name);
        if let Some(after) = after {
            let key = table::key(def, &after.pk).ok_or_else(ApiError::not_found)?;
            let condition = match field {
                None => Condition::new(format!("{} > ?", def.pk), vec![key]),
                Some(field) => {
                    let (column, sign) = (table::column(name), if down { "<" } else { ">" });
                    let val = table::to_val(field, after.doc.get(name));
                    let sql = format!("({column} {sign} ? OR ({column} = ? AND {} > ?))", def.pk);
                    Condition::new(sql, vec![val.clone(), val, key])
                }
            };
            wheres.push(condition);
        }
        let (where_sql, mut vals) = wheres.finish();
        let order =
            field.map_or_else(String::new, |_| format!("{}{}, ", table::column(name), if down { " DESC" } else { "" }));
        vals.push(limit.into());
        let sql = format!("SELECT * FROM {}{where_sql} ORDER BY {order}{} LIMIT ${}", def.table, def.pk, vals.len());
        let rows = self.tx.read(&sql, &vals).await.map_err(store)?;
        let rows = table::read_rows(self.site, Some(&mut self.tx), kind, def, rows).await?;
        Ok(rows.into_iter().map(|row| row.stored).collect())
    }

    fn wheres(
        &self,
        kind: &'static ResourceType,
        def: &'static TableDef,
        query: &ListQuery,
        visible: &Visible,
    ) -> Result<Wheres, ApiError> {
        let mut wheres = Wheres::default();
        if !def.only.is_empty() {
            wheres.push(Condition::new(def.only, vec![]));
        }
        visible_condition(kind, def, visible, &mut wheres);
        self.filter_conditions(kind, def, query, &mut wheres)?;
        self.search_conditions(kind, def, query, &mut wheres)?;
        Ok(wheres)
    }

    fn filter_conditions(
        &self,
        kind: &'static ResourceType,
        def: &TableDef,
        query: &ListQuery,
        wheres: &mut Wheres,
    ) -> Result<(), ApiError> {
        let hooks = self.site.hooks.of(kind.model);
        for hook in &hooks {
            for condition in hook.narrow(self.site, query)? {
                wheres.push(condition);
            }
        }
        let mut taken = Vec::new();
        for (name, value) in query.last_of_each() {
            for hook in &hooks {
                if let Some(condition) = hook.filter(self.site, name, value)? {
                    wheres.push(condition);
                    taken.push(name);
                }
            }
        }
        let rest = ListQuery {
            parameters: query.parameters.iter().filter(|(n, _)| !taken.contains(&n.as_str())).cloned().collect(),
        };
        // Of values that one parameter names several times, one is enough.
        let mut named: BTreeMap<(&str, &str), (&Field, Vec<Val>)> = BTreeMap::new();
        for (field, look_up, text) in rest.filters(kind) {
            let value = filter_value(field, look_up, text)?;
            let val = match def.links.iter().find(|l| l.field == field.name) {
                Some(link) if link.other_is_int => Val::Int(value.as_i64()),
                Some(_) => Val::from(text),
                None if look_up == "icontains" => Val::from(format!("%{}%", escape_like(text))),
                None if look_up == "isnull" => Val::from(value == Value::Bool(true)),
                None => table::to_val(field, Some(&value)),
            };
            named.entry((&field.name, look_up)).or_insert_with(|| (field, Vec::new())).1.push(val);
        }
        for ((_, look_up), (field, mut vals)) in named {
            let marks = vec!["?"; vals.len()].join(", ");
            if let Some(link) = def.links.iter().find(|l| l.field == field.name) {
                let (pk, other) = (def.pk, link.other);
                let sql = format!("{pk} IN (SELECT {} FROM {} WHERE {other} IN ({marks}))", link.own, link.table);
                wheres.push(Condition::new(sql, vals));
                continue;
            }
            let column = table::column(&field.name);
            if look_up == "exact" {
                wheres.push(Condition::new(format!("{column} IN ({marks})"), vals));
                continue;
            }
            let Some(val) = vals.pop() else { continue };
            let condition = match look_up {
                "gt" => Condition::new(format!("{column} > ?"), vec![val]),
                "gte" => Condition::new(format!("{column} >= ?"), vec![val]),
                "lt" => Condition::new(format!("{column} < ?"), vec![val]),
                "lte" => Condition::new(format!("{column} <= ?"), vec![val]),
                "isnull" if val == Val::from(true) => Condition::new(format!("{column} IS NULL"), vec![]),
                "isnull" => Condition::new(format!("{column} IS NOT NULL"), vec![]),
                "icontains" => Condition::new(self.site.db.dialect().like_ci(&column, "?"), vec![val]),
                _ => continue,
            };
            wheres.push(condition);
        }
        Ok(())
    }

    fn search_conditions(
        &self,
        kind: &ResourceType,
        def: &TableDef,
        query: &ListQuery,
        wheres: &mut Wheres,
    ) -> Result<(), ApiError> {
        let dialect = self.site.db.dialect();
        if let Some(text) = query.find("search") {
            for hook in self.site.hooks.of(kind.model) {
                if let Some(condition) = hook.search(self.site, text)? {
                    wheres.push(condition);
                    return Ok(());
                }
            }
        }
        for word in query.search_words()? {
            if let Some((sql, val)) = dialect.trigram_match(def.search_index, def.pk, &word) {
                wheres.push(Condition::new(sql, vec![val]));
                continue;
            }
            let (mut any, mut vals) = (Vec::new(), Vec::new());
            for spelling in spellings(&word) {
                any.extend(kind.search.iter().map(|f| dialect.like_ci(&table::column(f), "?")));
                vals.resize(any.len(), Val::from(format!("%{}%", escape_like(&spelling))));
            }
            if !any.is_empty() {
                wheres.push(Condition::new(format!("({})", any.join(" OR ")), vals));
            }
        }
        Ok(())
    }
}

fn visible_condition(kind: &ResourceType, def: &TableDef, visible: &Visible, wheres: &mut Wheres) {
    let Visible::Some { owner, keys } = visible else { return };
    let mut any = Vec::new();
    let mut vals = Vec::new();
    if let Some(field) = kind.owner {
        any.push(format!("{} = ?", table::column(field)));
        vals.push(Val::from(*owner));
    }
    let keys: Vec<Val> = keys.iter().filter_map(|k| table::key(def, k)).collect();
    if !keys.is_empty() {
        any.push(format!("{} IN ({})", def.pk, vec!["?"; keys.len()].join(", ")));
        vals.extend(keys);
    }
    let sql = if any.is_empty() { "1 = 0".to_owned() } else { format!("({})", any.join(" OR ")) };
    wheres.push(Condition::new(sql, vals));
}

/// Conditions joined by AND, with numbered placeholders.
#[derive(Default)]
struct Wheres {
    sql: Vec<String>,
    vals: Vec<Val>,
}

impl Wheres {
    fn push(&mut self, condition: Condition) {
        let mut text = String::with_capacity(condition.sql.len() + 8);
        let mut number = self.vals.len();
        for character in condition.sql.chars() {
            if character == '?' {
                number += 1;
                text.push_str(&format!("${number}"));
            } else {
                text.push(character);
            }
        }
        self.sql.push(text);
        self.vals.extend(condition.vals);
    }

    fn finish(self) -> (String, Vec<Val>) {
        let sql = if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql.join(" AND ")) };
        (sql, self.vals)
    }
}

fn list_documents(
    snapshot: &Snapshot,
    hooks: &HookSet,
    kinds: &[&'static ResourceType],
    query: &ListQuery,
    visible: &Visible,
) -> Result<Page, ApiError> {
    let (current, size) = query.page(snapshot)?;
    let words: Vec<String> = query.search_words()?.iter().map(|word| word.to_lowercase()).collect();
    let mut rows: Vec<&Object> = Vec::new();
    for kind in kinds {
        let mut own: Vec<Keep> = Vec::new();
        for hooks in hooks.of(kind.model) {
            own.extend(hooks.keep(query)?);
        }
        let taken = |name: &str| own.iter().any(|keep| keep.parameters.contains(&name));
        let mut filters = Vec::new();
        for (field, look_up, text) in query.filters(kind).into_iter().filter(|(field, ..)| !taken(&field.name)) {
            filters.push((field, look_up, filter_value(field, look_up, text)?));
        }
        let beside = Beside::of(kind, query)?;
        rows.extend(
            snapshot
                .of_model(kind.model)
                .filter(|o| match visible {
                    Visible::All => true,
                    Visible::Some { owner, keys } => {
                        keys.contains(&o.pk())
                            || kind.owner.is_some_and(|f| o.doc.get(f).and_then(Value::as_i64) == Some(*owner))
                    }
                })
                .filter(|o| beside.keeps(o))
                .filter(|o| passes(&filters, &o.doc))
                .filter(|o| own.iter().all(|keep| keep.keeps(snapshot, o)))
                .filter(|o| found_by(snapshot, kind, &words, &o.doc))
                .map(|o| &**o),
        );
    }
    if let Some(first) = kinds.first() {
        let ordering = query.ordering(first, hooks);
        rows.sort_by(|a, b| {
            ordering
                .iter()
                .map(|(by, down)| {
                    let order = match by {
                        By::Field(field) => compare(a.doc.get(&field.name), b.doc.get(&field.name)),
                        By::Key => a.id.cmp(&b.id),
                        By::Created => a.created.cmp(&b.created),
                        By::Changed => a.changed.cmp(&b.changed),
                        By::Column(_) => Ordering::Equal,
                    };
                    if *down { order.reverse() } else { order }
                })
                .find(|o| *o != Ordering::Equal)
                .unwrap_or_else(|| a.id.cmp(&b.id))
        });
    }
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let skip = (current - 1).saturating_mul(size);
    if current > 1 && skip >= count {
        return Err(ApiError::NotFound("Invalid page.".to_owned()));
    }
    let take = usize::try_from(size).unwrap_or(usize::MAX);
    let shown = rows.into_iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).take(take);
    Ok(Page { rows: shown.map(Stored::of).collect(), count, current, size })
}

/// Whether all filters agree. Of values that one parameter names several times, one is enough.
fn passes(filters: &[(&Field, &str, Value)], doc: &Map) -> bool {
    filters.iter().all(|(field, look_up, _)| {
        let mut same = filters.iter().filter(|(other, by, _)| other.name == field.name && by == look_up);
        same.any(|(_, _, value)| matches(field, look_up, value, doc))
    })
}

/// Whether each word stands in some field that is searched; a reference is searched by the name of what it names.
fn found_by(snapshot: &Snapshot, kind: &ResourceType, words: &[String], doc: &Map) -> bool {
    if words.is_empty() {
        return true;
    }
    let is_reference = |name: &str| kind.fields.iter().any(|field| field.name == name && field.reference.is_some());
    let texts: Vec<String> = kind
        .search
        .iter()
        .filter_map(|field| {
            let text = doc.get(*field)?.as_str()?;
            let other = if is_reference(field) { snapshot.find(Uuid::parse_str(text).ok()?) } else { None };
            Some(other.map_or_else(|| text.to_lowercase(), |object| object.name().to_lowercase()))
        })
        .collect();
    words.iter().all(|word| texts.iter().any(|text| text.contains(word)))
}

fn matches(field: &Field, look_up: &str, wanted: &Value, doc: &Map) -> bool {
    let value = doc.get(&field.name).unwrap_or(&Value::Null);
    match look_up {
        "exact" => match value {
            Value::Array(items) => items.contains(wanted),
            value => value == wanted,
        },
        "isnull" => Value::Bool(value.is_null()) == *wanted,
        "gt" => compare(Some(value), Some(wanted)) == Ordering::Greater,
        "lt" => compare(Some(value), Some(wanted)) == Ordering::Less,
        "gte" => compare(Some(value), Some(wanted)) != Ordering::Less,
        "lte" => compare(Some(value), Some(wanted)) != Ordering::Greater,
        "icontains" => {
            let text = wanted.as_str().unwrap_or_default().to_lowercase();
            value.as_str().is_some_and(|v| v.to_lowercase().contains(&text))
        }
        // A look-up the contract does not name is an unknown parameter.
        _ => true,
    }
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::String(a)), Some(Value::String(b))) => {
            a.to_lowercase().cmp(&b.to_lowercase()).then_with(|| a.cmp(b))
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default())
        }
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(a), Some(b)) if a.is_null() != b.is_null() => b.is_null().cmp(&a.is_null()).reverse(),
        _ => Ordering::Equal,
    }
}
