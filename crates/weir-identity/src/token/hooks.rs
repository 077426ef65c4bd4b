//! Rules of tokens that clients make, and the columns clients do not see.

use super::{
    Intent,
    revoked::{self, Which},
};
use crate::{Account, Grants, User, accounts, digest, kind, membership, permission};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::collections::BTreeMap;
use weir_core::{ApiError, Map, Resource as _, duration, validate};
use weir_resource::{Condition, Hooks, Presenting, Site, Stored, Unit, present, search_words, store};
use weir_store::{Val, escape_like};

/// See [`Token`](super::Token).
pub struct TokenHooks;

/// Attribute with the longest life of an app password.
const MAXIMUM_LIFETIME: &str = "goauthentik.io/user/token-maximum-lifetime";
/// Attribute: whether tokens that a user makes for themselves expire.
const EXPIRES: &str = "goauthentik.io/user/token-expires";

fn intent(doc: &Map) -> Option<Intent> {
    Intent::parse(doc.get("intent").and_then(Value::as_str).unwrap_or_default())
}

fn time(doc: &Map) -> Option<DateTime<Utc>> {
    doc.get("expires").and_then(Value::as_str).and_then(validate::parse_time)
}

fn put_time(doc: &mut Map, at: Option<DateTime<Utc>>) {
    let text = at.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    doc.insert("expires".to_owned(), text.into());
}

fn flag(doc: &Map, field: &str) -> bool {
    doc.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// Settles the owner of a token and whether the actor may make one for them. Returns the actor's rights.
async fn settle_owner(
    unit: &mut Unit<'_>,
    actor: i64,
    old: Option<&Stored>,
    new: &mut Map,
) -> Result<Grants, ApiError> {
    let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
    let wanted = new.get("user").and_then(Value::as_i64);
    if let Some(old) = old {
        let owner = old.doc.get("user").and_then(Value::as_i64);
        if wanted.is_some() && wanted != owner {
            return Err(ApiError::field("user", "User cannot be changed"));
        }
        new.insert("user".to_owned(), owner.into());
        if let Some(owner) = owner {
            check_owner(unit, &grants, actor, owner).await?;
        }
        return Ok(grants);
    }
    let may_add = grants.may("authentik_core.add_token", None);
    let owner = if may_add { wanted.unwrap_or(actor) } else { actor };
    new.insert("user".to_owned(), owner.into());
    check_owner(unit, &grants, actor, owner).await?;
    Ok(grants)
}

/// A token can do what its owner can: whoever makes one, or makes it last longer or open more, must be able to do that.
async fn check_owner(unit: &mut Unit<'_>, grants: &Grants, actor: i64, owner: i64) -> Result<(), ApiError> {
    match permission::check_acting_as(&mut unit.tx, grants, actor, owner).await {
        Err(ApiError::Forbidden(_)) => {
            Err(ApiError::field("user", "User does not have permission to make tokens for this user."))
        }
        other => other,
    }
}

/// Whether it is a token that no client can make.
fn is_of_flow(token: &Stored) -> bool {
    !matches!(intent(&token.doc), Some(Intent::Api | Intent::AppPassword))
}

fn check_intent(old: Option<&Stored>, new: &Map) -> Result<(), ApiError> {
    let wanted = new.get("intent").and_then(Value::as_str).unwrap_or_default();
    let fine = match old {
        // What a flow made, such as a link of recovery, stays that: others know its key.
        Some(old) if is_of_flow(old) => old.text("intent") == wanted,
        _ => matches!(intent(new), Some(Intent::Api | Intent::AppPassword)),
    };
    if fine {
        return Ok(());
    }
    Err(ApiError::field("intent", format!("Invalid intent {wanted}")))
}

/// How long an app password of this user may live.
async fn longest_life(unit: &mut Unit<'_>, owner: &Account) -> Result<TimeDelta, ApiError> {
    let own = Map::new();
    let merged = membership::group_attributes(&mut unit.tx, owner.id, &owner.attributes, &own).await.map_err(store)?;
    let text = merged.get(MAXIMUM_LIFETIME).and_then(Value::as_str);
    let default = unit.snapshot.settings.default_token_duration.delta();
    // An attribute that cannot be read must not lengthen anything.
    Ok(text.and_then(|t| duration::parse(t).ok()).unwrap_or(default))
}

/// Settles the end of a token that a client makes or changes.
async fn settle_end(
    unit: &mut Unit<'_>,
    owner: &Account,
    grants: &Grants,
    old: Option<&Stored>,
    new: &mut Map,
) -> Result<(), ApiError> {
    if let Some(old) = old.filter(|old| is_of_flow(old)) {
        new.insert("expiring".to_owned(), flag(&old.doc, "expiring").into());
        put_time(new, time(&old.doc));
        return Ok(());
    }
    let now = unit.site.clock.now();
    let default_end = now + unit.snapshot.settings.default_token_duration.delta();
    if !grants.may("authentik_core.add_token", None) {
        let expires = owner.attributes.get(EXPIRES).and_then(Value::as_bool).unwrap_or(true);
        // Nobody makes their own token endless afterwards, either.
        if old.is_none() || (expires && old.is_some_and(|o| flag(&o.doc, "expiring"))) {
            new.insert("expiring".to_owned(), expires.into());
        }
    }
    if !flag(new, "expiring") {
        put_time(new, None);
        return Ok(());
    }
    let before = old.filter(|o| flag(&o.doc, "expiring")).and_then(|o| time(&o.doc));
    let chosen = time(new);
    match intent(new) {
        Some(Intent::AppPassword) => {
            if let Some(end) = chosen
                && Some(end) != before
            {
                let last = now + longest_life(unit, owner).await?;
                if end > last {
                    let text =
                        format!("Token expires exceeds maximum lifetime ({} UTC).", last.format("%Y-%m-%d %H:%M:%S"));
                    return Err(ApiError::field("expires", text));
                }
            }
            put_time(new, chosen.or(Some(default_end)));
        }
        // An API token's life is not the client's to choose; one that was made with another intent starts anew.
        Some(Intent::Api) => {
            let same = old.is_some_and(|o| intent(&o.doc) == Some(Intent::Api));
            put_time(new, before.filter(|_| same).or(Some(default_end)));
        }
        _ => put_time(new, before.or(Some(default_end))),
    }
    Ok(())
}

#[async_trait]
impl Hooks for TokenHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let actor = unit.actor.user_id;
        let mut grants = None;
        if let Some(actor) = actor {
            let managed = old.and_then(|o| o.doc.get("managed").cloned()).unwrap_or(Value::Null);
            new.insert("managed".to_owned(), managed);
            check_intent(old, new)?;
            grants = Some(settle_owner(unit, actor, old, new).await?);
        }
        let Some(owner) = new.get("user").and_then(Value::as_i64) else {
            return Err(ApiError::field("user", "This field is required."));
        };
        let Some(owner) = accounts::lock_for(unit, owner).await? else {
            return Err(ApiError::field("user", validate::invalid_pk(&Value::from(owner))));
        };
        if old.is_none() && !owner.is_active {
            return Err(ApiError::field("user", "User is inactive."));
        }
        if let Some(grants) = grants {
            settle_end(unit, &owner, &grants, old, new).await?;
        }
        Ok(())
    }

    fn columns(&self, site: &Site, old: Option<&Stored>, _new: &Map) -> Vec<(&'static str, Val)> {
        if old.is_some() {
            return Vec::new();
        }
        let length = usize::try_from(site.snapshot().settings.default_token_length).unwrap_or(60);
        // A setting below the least is not followed: 22 characters are 130 bits.
        let key = site.random.text(length.clamp(22, 1024));
        vec![
            ("key_digest", digest(&key).into()),
            ("key", key.into()),
            ("created", site.clock.now().into()),
            // Set by `written`; no user has this epoch.
            ("security_epoch", Val::from(-1i64)),
        ]
    }

    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if old.is_some() {
            return Ok(());
        }
        let sql = "UPDATE identity_token SET security_epoch = (SELECT u.security_epoch FROM identity_user u \
                   WHERE u.id = identity_token.\"user\") WHERE id = $1";
        unit.tx.write(sql, &[new.pk.clone().into()]).await.map_err(store)?;
        if let Some(actor) = unit.actor.user_id
            && new.doc.get("user").and_then(Value::as_i64) == Some(actor)
        {
            permission::give_to_user(unit, actor, "authentik_core.view_token_key", &new.pk).await?;
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let now = unit.site.clock.now();
        revoked::remember(&mut unit.tx, now, Which::Token(&old.pk)).await.map_err(store)?;
        permission::forget_object(unit, old).await
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let users = users_of(cx, rows).await?;
        for (row, answer) in rows.iter().zip(answers) {
            let user = row.doc.get("user").and_then(Value::as_i64).and_then(|id| users.get(&id));
            answer.insert("user_obj".to_owned(), user.cloned().map_or(Value::Null, Value::Object));
        }
        Ok(())
    }

    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok(by_username(name, value))
    }

    fn search(&self, site: &Site, text: &str) -> Result<Option<Condition>, ApiError> {
        search_with_username(site, super::Token::SEARCH, text)
    }
}

/// The words of a search in columns of a list whose rows belong to a user, and in the user's name.
///
/// # Errors
/// 400 when there are too many.
pub(crate) fn search_with_username(site: &Site, columns: &[&str], text: &str) -> Result<Option<Condition>, ApiError> {
    let dialect = site.db.dialect();
    let (mut all, mut vals) = (Vec::new(), Vec::new());
    for word in search_words(text)? {
        let mut any: Vec<String> = columns.iter().map(|column| dialect.like_ci(column, "?")).collect();
        any.push(format!("\"user\" IN (SELECT id FROM identity_user WHERE {})", dialect.like_ci("username", "?")));
        vals.extend(vec![Val::from(format!("%{}%", escape_like(&word))); any.len()]);
        all.push(format!("({})", any.join(" OR ")));
    }
    Ok((!all.is_empty()).then(|| Condition::new(all.join(" AND "), vals)))
}

/// The filter `user__username` of lists whose rows belong to a user.
pub(crate) fn by_username(name: &str, value: &str) -> Option<Condition> {
    let sql = "\"user\" IN (SELECT id FROM identity_user WHERE username = ?)";
    (name == "user__username").then(|| Condition::new(sql, vec![value.into()]))
}

/// The answers for the users that rows belong to.
async fn users_of(cx: &Presenting<'_>, rows: &[Stored]) -> Result<BTreeMap<i64, Map>, ApiError> {
    let mut keys: Vec<String> =
        rows.iter().filter_map(|r| r.doc.get("user")?.as_i64()).map(|id| id.to_string()).collect();
    keys.sort();
    keys.dedup();
    let users = cx.site.find_many(kind::<User>(cx.site)?, &keys).await?;
    let shown = present(cx, &users).await?;
    Ok(users.iter().map(Stored::int_pk).zip(shown).collect())
}
