//! Filters of the user list beyond plain fields.

use crate::{attributes, membership};
use uuid::Uuid;
use weir_core::ApiError;
use weir_resource::{Condition, ListQuery, Site};
use weir_store::Val;

const TYPES: [&str; 4] = ["internal", "external", "service_account", "internal_service_account"];

/// Filters with one value.
pub(super) fn one(site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
    Ok(Some(match name {
        "attributes" => attributes::conditions(site.db.dialect(), "attributes", value)?,
        "path_startswith" => {
            let length = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
            Condition::new("substr(path, 1, CAST(? AS INTEGER)) = ?", vec![length.into(), value.into()])
        }
        "is_superuser" => {
            let wanted = flag("is_superuser", value)?;
            let not = if wanted { "" } else { "NOT " };
            Condition::new(format!("id {not}IN ({})", membership::SUPERUSERS), vec![])
        }
        // Several values mean any of them; see `several`.
        "type" => Condition::new("1 = 1", vec![]),
        _ => return Ok(None),
    }))
}

/// A truth value of a filter.
pub(crate) fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" => Ok(false),
        _ => Err(ApiError::field(name, "Must be a valid boolean.")),
    }
}

/// All values of a repeated parameter.
pub(crate) fn values<'a>(query: &'a ListQuery, name: &str) -> Vec<&'a str> {
    query.parameters.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str()).collect()
}

/// A condition over `?` marks for a list of values.
pub(crate) fn any_of(before: &str, after: &str, vals: Vec<Val>) -> Condition {
    let marks = vec!["?"; vals.len()].join(", ");
    Condition::new(format!("{before} IN ({marks}){after}"), vals)
}

/// UUIDs of a filter.
pub(crate) fn uuids(name: &str, values: &[&str]) -> Result<Vec<Val>, ApiError> {
    values
        .iter()
        .map(|v| {
            Uuid::parse_str(v)
                .map(Val::from)
                .map_err(|_| ApiError::field(name, format!("\u{201c}{v}\u{201d} is not a valid UUID.")))
        })
        .collect()
}

/// Filters that may be given several times and mean any of the values.
pub(super) fn several(query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
    let mut found = Vec::new();
    let texts = |values: &[&str]| values.iter().map(|v| Val::from(*v)).collect::<Vec<_>>();
    let kinds = values(query, "type");
    if let Some(bad) = kinds.iter().find(|k| !TYPES.contains(k)) {
        let text = format!("Select a valid choice. {bad} is not one of the available choices.");
        return Err(ApiError::field("type", text));
    }
    if !kinds.is_empty() {
        found.push(any_of("\"type\"", "", texts(&kinds)));
    }
    for (name, table, column) in
        [("groups_by_pk", "identity_membership", "group_id"), ("roles_by_pk", "identity_user_role", "role_id")]
    {
        let wanted = values(query, name);
        if !wanted.is_empty() {
            let before = format!("id IN (SELECT user_id FROM {table} WHERE {column}");
            found.push(any_of(&before, ")", uuids(name, &wanted)?));
        }
    }
    for (name, table, column, other) in [
        ("groups_by_name", "identity_membership", "group_id", "identity_group"),
        ("roles_by_name", "identity_user_role", "role_id", "identity_role"),
    ] {
        let wanted = values(query, name);
        if !wanted.is_empty() {
            let before =
                format!("id IN (SELECT l.user_id FROM {table} l JOIN {other} o ON o.id = l.{column} WHERE o.name");
            found.push(any_of(&before, ")", texts(&wanted)));
        }
    }
    Ok(found)
}
