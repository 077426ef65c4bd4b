//! Several accounts signed in to one browser, where the brand has a flow to change between them. Each has a session of its
//! own; the cookie carries the key of one, whose data name the others.

use serde_json::Value;
use uuid::Uuid;
use weir_core::Map;
use weir_identity::{Brand, SessionRow, session};
use weir_resource::Snapshot;
use weir_store::StoreError;

use crate::StageCx;

/// Session data: identifiers of the browser's other sessions.
pub(crate) const OTHERS: &str = "other_sessions";
/// Accounts of one browser beside the current one.
pub(crate) const MOST: usize = 9;

/// Whether a brand lets a browser keep several accounts.
pub fn is_on(snapshot: &Snapshot, brand: Option<Uuid>) -> bool {
    brand.and_then(|id| snapshot.get::<Brand>(id)).is_some_and(|brand| brand.flow_user_switch.is_some())
}

/// The browser's other sessions, as this one's data name them; some may have ended.
pub fn others(data: &Map) -> Vec<Uuid> {
    let listed = data.get(OTHERS).and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(|id| id.as_str().and_then(|text| Uuid::parse_str(text).ok())).take(MOST).collect()
}

/// The live session of a user among the browser's others.
///
/// # Errors
/// Those of the store.
pub async fn find(cx: &mut StageCx<'_>, target: Uuid, user: i64) -> Result<Option<SessionRow>, StoreError> {
    let is_here = cx.session.as_ref().is_some_and(|own| others(&own.data).contains(&target));
    if !is_here || !is_on(&cx.unit.snapshot, cx.request.brand) {
        return Ok(None);
    }
    let now = cx.now();
    let live = session::signed_in(&mut cx.unit.tx, &[target], now).await?;
    Ok(live.into_iter().find(|(_, account)| account.id == user).map(|(row, _)| row))
}

/// The browser's other sessions after a log-in of this user, when the session so far stays beside the new one; none when
/// it ends in it.
pub(crate) async fn beside(cx: &mut StageCx<'_>, user: i64) -> Result<Option<Vec<Uuid>>, StoreError> {
    let Some(own) = &cx.session else { return Ok(None) };
    let is_other = cx.user.is_some() && own.user_id.is_some_and(|id| id != user);
    if !is_other || !is_on(&cx.unit.snapshot, cx.request.brand) {
        return Ok(None);
    }
    let mut all = others(&own.data);
    all.push(own.uuid);
    let now = cx.now();
    let live = session::signed_in(&mut cx.unit.tx, &all, now).await?;
    let mut kept: Vec<Uuid> = live.iter().filter(|(_, account)| account.id != user).map(|(row, _)| row.uuid).collect();
    kept.drain(..kept.len().saturating_sub(MOST));
    Ok(Some(kept))
}
