//! Filters of lists on what each document has beside its fields: its keys and its times.

use crate::{ListQuery, Object, policy_target_uuid};
use chrono::{DateTime, Utc};
use weir_core::{ApiError, Family, ResourceType};

/// What a query says about keys and times of one kind's documents.
pub(crate) struct Beside {
    keys: Vec<String>,
    target: Option<String>,
    created: Option<DateTime<Utc>>,
    changed: Option<DateTime<Utc>>,
}

impl Beside {
    /// Reads the query.
    ///
    /// # Errors
    /// 400 for a time that is none.
    pub(crate) fn of(kind: &ResourceType, query: &ListQuery) -> Result<Self, ApiError> {
        let model = format!("{}_uuid", kind.model_name());
        let names = ["pk", kind.pk, &model];
        let param = query.find(kind.param).filter(|_| kind.lookup == "pk" && kind.param != "pbm_uuid");
        let keys = names.iter().filter_map(|name| query.find(name)).chain(param);
        // Only policies tell their times by a filter.
        let time = |name: &str| match query.find(name).filter(|_| kind.family == Some(Family::Policy)) {
            None => Ok(None),
            Some(text) => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => Ok(Some(time.to_utc())),
                Err(_) => Err(ApiError::field(name, "Enter a valid date/time.")),
            },
        };
        Ok(Self {
            keys: keys.map(str::to_lowercase).collect(),
            target: query.find("pbm_uuid").filter(|_| kind.policy_target).map(str::to_lowercase),
            created: time("created")?,
            changed: time("last_updated")?,
        })
    }

    /// Whether an object stays in the list.
    pub(crate) fn keeps(&self, object: &Object) -> bool {
        let key = object.pk();
        let is_target = |wanted: &String| *wanted == key || *wanted == policy_target_uuid(object.id).to_string();
        self.keys.iter().all(|wanted| *wanted == key)
            && self.target.as_ref().is_none_or(is_target)
            && self.created.is_none_or(|time| is_same(time, object.created))
            && self.changed.is_none_or(|time| is_same(time, object.changed))
    }
}

/// Whether two times are the same as answers and the database write them.
fn is_same(one: DateTime<Utc>, other: DateTime<Utc>) -> bool {
    one.timestamp_micros() == other.timestamp_micros()
}
