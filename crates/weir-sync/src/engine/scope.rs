//! What a full sync goes through: the keys of objects that may be in scope, page by page.

use super::{Run, look::OF_PROGRAMS};
use crate::{state::Model, wire::Failure};
use weir_store::Val;

impl Run<'_> {
    /// Keys of objects that may be in scope, after a key and in order.
    pub(super) async fn candidates(&self, model: Model, after: Option<&str>) -> Result<Vec<String>, Failure> {
        let mut vals: Vec<Val> = vec![i64::try_from(self.terms.common.page_size()).unwrap_or(i64::MAX).into()];
        let (table, mut conditions) = match model {
            Model::User => ("identity_user", Vec::new()),
            Model::Group => ("identity_group", Vec::new()),
        };
        if let Some(after) = after {
            vals.push(match model {
                Model::User => after.parse::<i64>().unwrap_or_default().into(),
                Model::Group => after.into(),
            });
            conditions.push(format!("id > ${}", vals.len()));
        }
        if model == Model::User && self.terms.common.exclude_users_service_account {
            let marks: Vec<String> = OF_PROGRAMS
                .iter()
                .map(|kind| {
                    vals.push((*kind).into());
                    format!("${}", vals.len())
                })
                .collect();
            conditions.push(format!("type NOT IN ({})", marks.join(", ")));
        }
        if model == Model::Group && !self.terms.group_filters.is_empty() {
            let marks: Vec<String> = self
                .terms
                .group_filters
                .iter()
                .map(|group| {
                    vals.push((*group).into());
                    format!("${}", vals.len())
                })
                .collect();
            conditions.push(format!("id IN ({})", marks.join(", ")));
        }
        let which = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT id FROM {table} {which} ORDER BY id LIMIT $1");
        let rows = self.engine.site.db.read(&sql, &vals).await?;
        let key = |row: &weir_store::Row| match model {
            Model::User => row.int("id").map(|id| id.to_string()),
            Model::Group => row.text("id"),
        };
        Ok(rows.iter().map(key).collect::<Result<_, _>>()?)
    }

    /// How many objects may be in scope.
    pub(super) async fn count(&self) -> Result<usize, Failure> {
        let sql = "SELECT (SELECT COUNT(*) FROM identity_user) + (SELECT COUNT(*) FROM identity_group) AS n";
        let row = self.engine.site.db.read_one(sql, &[]).await?;
        let count = row.map(|row| row.int("n")).transpose()?.unwrap_or_default();
        Ok(usize::try_from(count).unwrap_or_default())
    }
}
