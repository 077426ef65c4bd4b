//! Rules of users, and the columns that clients do not see.

use super::{filter, present, temporary};
use crate::{
    Grants,
    accounts::{self, INTERNAL_SERVICE_ACCOUNT, UNUSABLE_PASSWORD},
    permission, role, session,
    token::revoked::{self, Which},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use weir_core::{ApiError, FieldErrors, Map};
use weir_resource::{Condition, Hooks, ListQuery, Presenting, Site, Stored, Unit, store};
use weir_store::{
    Val,
    jobs::{self, NewJob},
};

/// Name of the jobs that remove the events of a deleted user. Arguments: `user`, and `before`, a time in microseconds.
pub const FORGET: &str = "forget_events";

/// See [`User`](super::User).
pub struct UserHooks;

fn text<'a>(doc: &'a Map, field: &str) -> &'a str {
    doc.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The refusals of a path.
fn check_path(path: &str, errors: &mut FieldErrors) {
    if path.starts_with('/') || path.ends_with('/') {
        errors.add("path", "No leading or trailing slashes allowed.", "invalid");
    } else if path.split('/').any(str::is_empty) {
        errors.add("path", "No empty segments in user path allowed.", "invalid");
    }
}

fn check_type(by_client: bool, old: Option<&Stored>, new: &Map, errors: &mut FieldErrors) {
    let internal = |kind: &str| kind == INTERNAL_SERVICE_ACCOUNT;
    if !by_client {
        return;
    }
    if old.is_some_and(|o| internal(o.text("type"))) {
        errors.add("type", "Can't modify internal service account users.", "invalid");
    } else if internal(text(new, "type")) {
        errors.add("type", "Setting a user to internal service account is not allowed.", "invalid");
    }
}

fn list(doc: &Map, field: &str) -> Vec<String> {
    let items = doc.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The entries of a list that were not there before.
pub(crate) fn added(field: &str, old: Option<&Stored>, new: &Map) -> Vec<String> {
    let before = old.map(|o| list(&o.doc, field)).unwrap_or_default();
    list(new, field).into_iter().filter(|v| !before.contains(v)).collect()
}

/// The role with what was given to the user alone is in no list that clients see, so none of theirs takes it away.
async fn keep_hidden_roles(unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
    let now = list(new, "roles");
    let gone: Vec<String> =
        old.map(|old| list(&old.doc, "roles")).unwrap_or_default().into_iter().filter(|r| !now.contains(r)).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let hidden = role::managed_among(&mut unit.tx, &gone).await.map_err(store)?;
    if !hidden.is_empty() {
        let all: Vec<Value> = now.into_iter().chain(hidden).map(Value::from).collect();
        new.insert("roles".to_owned(), Value::Array(all));
    }
    Ok(())
}

fn is_active(doc: &Map) -> bool {
    doc.get("is_active").and_then(Value::as_bool).unwrap_or(false)
}

/// What decides who can get into an account is changed by those alone who may do all that it may. Links to get back in go
/// to the address, names decide who signs in, and what a deactivated account may do comes back with it.
async fn check_account(unit: &mut Unit<'_>, old: Option<&Stored>, new: &Map) -> Result<(), ApiError> {
    let (Some(actor), Some(old)) = (unit.actor.user_id, old) else { return Ok(()) };
    let changed = ["email", "username"].into_iter().find(|field| old.text(field) != text(new, field));
    let activated = (is_active(new) && !is_active(&old.doc)).then_some("is_active");
    let Some(field) = changed.or(activated) else { return Ok(()) };
    let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
    match permission::check_acting_as(&mut unit.tx, &grants, actor, old.int_pk()).await {
        Err(ApiError::Forbidden(_)) => {
            let text = "User does not have permission to change this of an account with more rights.";
            Err(ApiError::field(field, text))
        }
        other => other,
    }
}

/// Attributes by which an account is deleted are written by those who may delete it.
async fn check_end(unit: &mut Unit<'_>, old: Option<&Stored>, new: &Map) -> Result<(), ApiError> {
    let (Some(actor), Some(old)) = (unit.actor.user_id, old) else { return Ok(()) };
    let attribute = |doc: &Map, key: &str| doc.get("attributes").and_then(|attributes| attributes.get(key)).cloned();
    if temporary::ATTRIBUTES.iter().all(|key| attribute(&old.doc, key) == attribute(new, key)) {
        return Ok(());
    }
    let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
    if grants.may("authentik_core.delete_user", Some(&old.pk)) {
        return Ok(());
    }
    Err(ApiError::field("attributes", "User does not have permission to have this account deleted."))
}

#[async_trait]
impl Hooks for UserHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        accounts::check_actor(unit).await?;
        let mut errors = FieldErrors::new();
        check_path(text(new, "path"), &mut errors);
        check_type(unit.actor.user_id.is_some(), old, new, &mut errors);
        errors.into_result()?;
        keep_hidden_roles(unit, old, new).await?;
        let groups = added("groups", old, new);
        let roles = added("roles", old, new);
        if let Some(actor) = unit.actor.user_id
            && !(groups.is_empty() && roles.is_empty())
        {
            let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
            permission::check_groups(&mut unit.tx, &grants, "groups", &groups).await?;
            permission::check_roles(&mut unit.tx, &grants, "roles", &roles).await?;
        }
        check_account(unit, old, new).await?;
        check_end(unit, old, new).await?;
        let now = Value::from(unit.site.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
        match old {
            None => {
                new.insert("uuid".to_owned(), unit.site.random.uuid().to_string().into());
                for field in ["date_joined", "password_change_date", "last_updated"] {
                    new.insert(field.to_owned(), now.clone());
                }
            }
            // A write that changes nothing leaves no trace.
            Some(old) if old.doc != *new => {
                new.insert("last_updated".to_owned(), now);
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn columns(&self, _site: &Site, old: Option<&Stored>, new: &Map) -> Vec<(&'static str, Val)> {
        let upn = new.get("attributes").and_then(|a| a.get("upn")?.as_str()).filter(|t| !t.is_empty());
        let mut columns = vec![
            ("username_lower", Val::from(text(new, "username").to_lowercase())),
            ("email_lower", Val::from(text(new, "email").to_lowercase())),
            ("upn", Val::from(upn)),
            ("upn_lower", Val::from(upn.map(str::to_lowercase))),
        ];
        if old.is_none() {
            columns.push(("password", UNUSABLE_PASSWORD.into()));
        }
        columns
    }

    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if old.is_some_and(|old| is_active(&old.doc)) && !is_active(&new.doc) {
            session::delete_of_user(&mut unit.tx, new.int_pk(), None).await.map_err(store)?;
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        if unit.actor.user_id.is_some() && old.text("type") == INTERNAL_SERVICE_ACCOUNT {
            return Err(ApiError::general("Can't modify internal service account users."));
        }
        // Their tokens go with them.
        let now = unit.site.clock.now();
        revoked::remember(&mut unit.tx, now, Which::AllOf(old.int_pk())).await.map_err(store)?;
        if unit.snapshot.settings.gdpr_compliance {
            let sql = "DELETE FROM lockdown WHERE user_id = $1";
            unit.tx.write(sql, &[old.int_pk().into()]).await.map_err(store)?;
            // There may be many.
            let mut job = NewJob::new(FORGET, json!({"user": old.int_pk(), "before": now.timestamp_micros()}));
            job.uid = Some(old.pk.clone());
            job.description = Some("Remove the events of a deleted user".to_owned());
            jobs::enqueue(&mut unit.tx, unit.site.random.uuid(), now, &job).await.map_err(store)?;
        }
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        present::add(cx, rows, answers).await
    }

    fn filter(&self, site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        filter::one(site, name, value)
    }

    fn narrow(&self, _site: &Site, query: &ListQuery) -> Result<Vec<Condition>, ApiError> {
        filter::several(query)
    }
}
