//! Objects as blueprints: one flow with all it needs, or the whole configuration. Only what differs from the defaults
//! is written, references by name instead of by key, secrets never: where an object cannot be made without one, an entry
//! for installations that lack the object takes it from the context, as `<id>.<field>`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::{IndexMap, IndexSet};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Backing, Family, Field, Resource as _, ResourceType};
use weir_resource::{ListQuery, Snapshot, Stored, Unit, Visible, store};

use crate::entry::{POLICY_BINDING, State};
use crate::format::Metadata;
use crate::instances::BlueprintInstance;
use crate::lookup::natural_key;
use crate::schedules;
use crate::writer::{Output, OutputDocument, OutputEntry, write};

type Result<T> = std::result::Result<T, ApiError>;

const BINDING: &str = "authentik_flows.flowstagebinding";
const PROMPT: &str = "authentik_stages_prompt.prompt";
const GROUP: &str = "authentik_core.group";
const ROLE: &str = "authentik_rbac.role";

/// The blueprint of a flow: its bindings, stages, prompts and policies. What else is referred to is looked up by name.
pub async fn export_flow(unit: &mut Unit<'_>, flow: &Stored) -> Result<String> {
    let mut exporter = Exporter::new(unit);
    exporter.add(flow.clone());
    exporter.add_bindings(flow);
    exporter.add_needed();
    let metadata = Metadata { name: format!("Export of flow {}", flow.text("slug")), labels: IndexMap::new() };
    exporter.finish(metadata).await
}

/// The blueprint of the whole configuration, groups and roles included, users not.
pub async fn export_all(unit: &mut Unit<'_>) -> Result<String> {
    let kinds: Vec<&'static ResourceType> = unit.site.registry.all().collect();
    let mut exporter = Exporter::new(unit);
    for kind in kinds {
        match kind.backing {
            Backing::Document if kind.model != BlueprintInstance::MODEL && kind.operations.create => {
                let snapshot = std::sync::Arc::clone(&exporter.unit.snapshot);
                let mut objects: Vec<Stored> = snapshot.of_model(kind.model).map(|object| Stored::of(object)).collect();
                objects.sort_by_cached_key(|object| (sort_key(&snapshot, object, 3), object.pk.clone()));
                objects.into_iter().for_each(|object| exporter.add(object));
            }
            Backing::Table(_) if matches!(kind.model, GROUP | ROLE) => exporter.add_table(kind).await?,
            Backing::Document | Backing::Table(_) => {}
        }
    }
    exporter.others = schedules::exported(exporter.unit).await?;
    exporter.finish(Metadata { name: "Export".to_owned(), labels: IndexMap::new() }).await
}

struct Exporter<'x, 'u> {
    unit: &'x mut Unit<'u>,
    /// By key, in the order they were found.
    items: IndexMap<String, Stored>,
    ids: BTreeMap<String, String>,
    /// Keys that some entry refers to.
    used: BTreeSet<String>,
    done: BTreeSet<String>,
    /// Entries of what is no object of a kind.
    others: Vec<OutputEntry>,
}

impl<'x, 'u> Exporter<'x, 'u> {
    fn new(unit: &'x mut Unit<'u>) -> Self {
        let (items, ids) = (IndexMap::new(), BTreeMap::new());
        Self { unit, items, ids, used: BTreeSet::new(), done: BTreeSet::new(), others: Vec::new() }
    }

    fn add(&mut self, object: Stored) {
        self.items.entry(object.kind.index_key(&object.pk)).or_insert(object);
    }

    async fn add_table(&mut self, kind: &'static ResourceType) -> Result<()> {
        for number in 1.. {
            let parameters = vec![("page_size".to_owned(), "100".to_owned()), ("page".to_owned(), number.to_string())];
            let page = self.unit.list(kind, &ListQuery { parameters }, &Visible::All).await?;
            let is_last = page.current * page.size >= page.count;
            page.rows.into_iter().for_each(|object| self.add(object));
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Bindings of stages to the flow, and of policies to all of these.
    fn add_bindings(&mut self, flow: &Stored) {
        let snapshot = std::sync::Arc::clone(&self.unit.snapshot);
        let mut targets = vec![flow.pk.clone()];
        let mut bindings = bound(&snapshot, &flow.pk, BINDING);
        bindings.sort_by_key(order_of);
        targets.extend(bindings.iter().map(|binding| binding.pk.clone()));
        let mut policies: Vec<Stored> =
            targets.iter().flat_map(|target| bound(&snapshot, target, POLICY_BINDING)).collect();
        policies.sort_by_key(order_of);
        bindings.into_iter().chain(policies).for_each(|object| self.add(object));
    }

    /// Stages, policies and prompts that the objects so far refer to.
    fn add_needed(&mut self) {
        let snapshot = std::sync::Arc::clone(&self.unit.snapshot);
        let mut position = 0;
        while let Some((_, object)) = self.items.get_index(position) {
            let needed: Vec<Stored> = references(object)
                .filter_map(|(_, key)| snapshot.find(Uuid::parse_str(&key).ok()?))
                .filter(|target| {
                    matches!(target.kind.family, Some(Family::Stage | Family::Policy)) || target.kind.model == PROMPT
                })
                .map(|target| Stored::of(target))
                .collect();
            needed.into_iter().for_each(|object| self.add(object));
            position += 1;
        }
    }

    async fn finish(mut self, metadata: Metadata) -> Result<String> {
        let order = self.ordered();
        self.name_all(&order);
        let mut entries: Vec<(String, OutputEntry)> = Vec::new();
        let mut later = Vec::new();
        for key in &order {
            let Some(object) = self.items.get(key).cloned() else { continue };
            let deferred = self.deferred(&object);
            if let Some(first) = self.first_entry(key, &object).await? {
                entries.push((String::new(), first));
            }
            entries.push((key.clone(), self.entry(&object, |field| !deferred.contains(&field)).await?));
            self.done.insert(key.clone());
            if !deferred.is_empty() {
                later.push((object, deferred));
            }
        }
        for (object, fields) in later {
            entries.push((String::new(), self.entry(&object, |field| fields.contains(&field)).await?));
        }
        for (key, entry) in &mut entries {
            if self.used.contains(key) {
                entry.id = self.ids.get(key).cloned();
            }
        }
        let entries = entries.into_iter().map(|(_, entry)| entry).chain(self.others).collect();
        Ok(write(&OutputDocument { metadata: Some(metadata), entries }))
    }

    /// What an object refers to comes before it, as far as references do not go in circles.
    fn ordered(&self) -> Vec<String> {
        let mut order = IndexSet::new();
        let mut seen = BTreeSet::new();
        for start in self.items.keys() {
            // A list, not recursion: chains of references may be long. A key comes up again when its targets are done.
            let mut open = vec![(start.clone(), false)];
            while let Some((key, targets_done)) = open.pop() {
                if targets_done {
                    order.insert(key);
                    continue;
                }
                let Some(object) = self.items.get(&key).filter(|_| seen.insert(key.clone())) else { continue };
                open.push((key, true));
                let targets: Vec<String> = references(object).map(|(_, target)| target).collect();
                open.extend(targets.into_iter().rev().map(|target| (target, false)));
            }
        }
        order.into_iter().collect()
    }

    /// Readable, unique ids for `!KeyOf`.
    fn name_all(&mut self, order: &[String]) {
        let mut taken = BTreeSet::new();
        for key in order {
            let Some(object) = self.items.get(key) else { continue };
            let name = if has_name(object) { object.name() } else { String::new() };
            let words = format!("{} {name}", object.kind.model_name());
            let words: Vec<String> = words
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect();
            let base = words.join("-");
            let mut id = base.clone();
            let mut number = 1;
            while !taken.insert(id.clone()) {
                number += 1;
                id = format!("{base}-{number}");
            }
            self.ids.insert(key.clone(), id);
        }
    }

    /// Optional fields that refer to an entry which can only come later.
    fn deferred(&self, object: &Stored) -> Vec<&'static str> {
        let is_later = |key: &String| self.items.contains_key(key) && !self.done.contains(key);
        references(object)
            .filter(|(field, key)| !field.required && is_later(key))
            .map(|(field, _)| field.name.as_str())
            .collect()
    }

    async fn entry(&mut self, object: &Stored, wanted: impl Fn(&'static str) -> bool) -> Result<OutputEntry> {
        let kind = object.kind;
        let identifying = identifying(object);
        let mut identifiers = Vec::new();
        for name in &identifying {
            let Some(field) = kind.find_field(name) else { continue };
            let value = object.doc.get(*name).cloned().unwrap_or_default();
            identifiers.push(((*name).to_owned(), self.output(field, &value).await?));
        }
        if identifiers.is_empty() {
            identifiers.push(("pk".to_owned(), object.pk_value().into()));
        }
        let mut attrs = Vec::new();
        for field in &kind.fields {
            let name = field.name.as_str();
            // Who is in a group is told by the users, which are not part of an export.
            let is_hidden = field.read_only || field.write_only || (kind.model == GROUP && name == "users");
            if is_hidden || identifying.contains(&name) || !wanted(name) {
                continue;
            }
            let Some(value) = object.doc.get(name) else { continue };
            if field.required || *value != field.default {
                let output = match self.without_secrets(object, name, value) {
                    Some(output) => output,
                    None => self.output(field, value).await?,
                };
                attrs.push((name.to_owned(), output));
            }
        }
        if kind.model == ROLE {
            attrs.push(("permissions".to_owned(), self.permissions(&object.pk).await?));
        }
        Ok(OutputEntry { model: kind.model.to_owned(), id: None, state: State::Present, identifiers, attrs })
    }

    /// A mapping with secrets in it. Without a context for them an import keeps those that are there.
    fn without_secrets(&self, object: &Stored, field: &str, value: &Value) -> Option<Output> {
        let secret = |part: &str| object.kind.secret_parts.contains(&(field, part));
        let mapping = value.as_object().filter(|mapping| mapping.keys().any(|part| secret(part)))?;
        let id = self.ids.get(&object.pk).map_or("", String::as_str);
        let parts = mapping.iter().map(|(part, value)| {
            let output =
                if secret(part) { Output::Context(format!("{id}.{field}.{part}")) } else { value.clone().into() };
            (part.clone(), output)
        });
        Some(Output::Mapping(parts.collect()))
    }

    /// How an object is made that needs secrets. Where it exists already, this entry changes nothing.
    async fn first_entry(&mut self, key: &str, object: &Stored) -> Result<Option<OutputEntry>> {
        let secrets: Vec<&Field> =
            object.kind.fields.iter().filter(|field| field.write_only && field.required).collect();
        if secrets.is_empty() {
            return Ok(None);
        }
        let required = |name: &str| object.kind.find_field(name).is_some_and(|field| field.required);
        let mut entry = self.entry(object, required).await?;
        entry.state = State::Created;
        let id = self.ids.get(key).cloned().unwrap_or_default();
        let secrets = secrets.iter().map(|field| (field.name.clone(), Output::Context(format!("{id}.{}", field.name))));
        entry.attrs.extend(secrets);
        Ok(Some(entry))
    }

    async fn permissions(&mut self, role: &str) -> Result<Output> {
        let sql = "SELECT permission FROM identity_role_permission WHERE role_id = $1 AND object_id = '' \
                   ORDER BY permission";
        let rows = self.unit.tx.read(sql, &[role.into()]).await.map_err(store)?;
        let names = rows.iter().map(|row| row.text("permission")).collect::<std::result::Result<Vec<_>, _>>();
        Ok(json!(names.map_err(store)?).into())
    }

    async fn output(&mut self, field: &Field, value: &Value) -> Result<Output> {
        if field.reference.is_none() {
            return Ok(value.clone().into());
        }
        match value {
            Value::Array(items) => {
                let mut outputs = Vec::with_capacity(items.len());
                for item in items {
                    outputs.push(self.reference(field, item).await?);
                }
                Ok(Output::Sequence(outputs))
            }
            value => self.reference(field, value).await,
        }
    }

    async fn reference(&mut self, field: &Field, value: &Value) -> Result<Output> {
        let Some(key) = field.reference.as_ref().and_then(|reference| reference.target(value)) else {
            return Ok(value.clone().into());
        };
        if let Some(id) = self.ids.get(&key) {
            self.used.insert(key);
            return Ok(Output::KeyOf(id.clone()));
        }
        let Some(target) = self.outside(field, &key).await? else { return Ok(value.clone().into()) };
        let Some(names) = natural_key(target.kind, &target.doc) else { return Ok(value.clone().into()) };
        let fields =
            names.iter().map(|name| ((*name).to_owned(), target.doc.get(*name).cloned().unwrap_or_default().into()));
        Ok(Output::Find { model: target.kind.model.to_owned(), fields: fields.collect() })
    }

    /// The object behind a key that is not part of the export.
    async fn outside(&mut self, field: &Field, key: &str) -> Result<Option<Stored>> {
        if let Some(object) = Uuid::parse_str(key).ok().and_then(|id| self.unit.snapshot.find(id)) {
            return Ok(Some(Stored::of(object)));
        }
        let Some(reference) = &field.reference else { return Ok(None) };
        for kind in self.unit.site.registry.targets(&reference.model) {
            if matches!(kind.backing, Backing::Table(_))
                && let Some(object) = self.unit.find(kind, key).await?
            {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }
}

fn order_of(object: &Stored) -> i64 {
    object.doc.get("order").and_then(Value::as_i64).unwrap_or_default()
}

/// Keys of objects are random; an export of the same configuration shall be the same text.
fn sort_key(snapshot: &Snapshot, object: &Stored, depth: usize) -> String {
    let fields = identifying(object);
    if depth == 0 || fields.is_empty() {
        return object.name();
    }
    let parts = fields.into_iter().map(|field| match object.doc.get(field) {
        Some(Value::Number(number)) => format!("{:012}", number.as_i64().unwrap_or_default() + i64::from(u32::MAX)),
        Some(Value::String(key)) => match Uuid::parse_str(key).ok().and_then(|id| snapshot.find(id)) {
            Some(target) => sort_key(snapshot, &Stored::of(target), depth - 1),
            None => key.clone(),
        },
        _ => String::new(),
    });
    parts.collect::<Vec<_>>().join("\u{1f}")
}

fn has_name(object: &Stored) -> bool {
    ["name", "slug", "domain"].iter().any(|field| !object.text(field).is_empty())
}

/// Objects of a model whose target is this one.
fn bound(snapshot: &Snapshot, target: &str, model: &str) -> Vec<Stored> {
    let referring = snapshot.referring(target);
    referring
        .filter(|(object, field)| *field == "target" && object.kind.model == model)
        .map(|(object, _)| Stored::of(object))
        .collect()
}

/// The keys an object refers to, with the field.
fn references(object: &Stored) -> impl Iterator<Item = (&'static Field, String)> + '_ {
    object.kind.fields.iter().filter(|field| field.reference.is_some() && !field.read_only).flat_map(|field| {
        let values = match object.doc.get(&field.name) {
            Some(Value::Array(items)) => items.iter().collect(),
            Some(value) => vec![value],
            None => Vec::new(),
        };
        // A user is no document; everything else that has a number is.
        let keys = values.into_iter().filter(|value| {
            value.is_string() || field.reference.as_ref().is_some_and(|reference| reference.is_numbered)
        });
        keys.filter_map(move |value| Some((field, field.reference.as_ref()?.target(value)?)))
    })
}

/// The fields by which an entry finds its object in another installation.
fn identifying(object: &Stored) -> Vec<&'static str> {
    if object.kind.model == BINDING {
        return vec!["target", "order", "stage"];
    }
    if object.kind.model == POLICY_BINDING {
        let guest =
            ["policy", "group", "user"].into_iter().find(|field| object.doc.get(*field).is_some_and(|v| !v.is_null()));
        return ["target", "order"].into_iter().chain(guest).collect();
    }
    natural_key(object.kind, &object.doc).map(<[&str]>::to_vec).unwrap_or_default()
}
