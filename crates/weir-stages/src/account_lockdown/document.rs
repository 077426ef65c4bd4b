//! What a record says.

use super::act::{ACTION, Begun, Order, REASON_CHARS};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use weir_flow::{App, sync::Delivery};
use weir_identity::artefacts::{ARTEFACTS, CARRIED, Counts};
use weir_resource::Actor;

/// What is known after the commit.
pub(super) struct Followed {
    /// Artefacts that are left.
    pub remaining: Counts,
    /// Ways in that stay.
    pub stays: Counts,
    /// How far the systems that keep copies are; none when they need not be told.
    pub sync: Vec<Delivery>,
    /// When all that was known.
    pub completed: DateTime<Utc>,
}

pub(super) fn shortened(reason: &str) -> String {
    reason.chars().filter(|c| *c != '\0').take(REASON_CHARS).collect()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// What is signed with the transaction: the record of a lockdown that nobody has looked at again yet.
pub(super) fn begun(app: &App, actor: &Actor, order: &Order, begun: &Begun) -> Value {
    let (account, groups) = (&begun.account, order.switches.groups());
    let kinds = ARTEFACTS.iter().map(|artefact| {
        let of = |counts: &Counts| counts.get(artefact.kind).copied().unwrap_or(0);
        let is_spared = !groups.contains(&artefact.group) && of(&begun.ended) < of(&begun.found).max(1);
        json!({
            "kind": artefact.kind,
            "found": of(&begun.found),
            "ended": of(&begun.ended),
            "remaining": null,
            "kept": is_spared,
        })
    });
    // Not ours to count; the epoch ends them.
    let carried = CARRIED.iter().map(|name| {
        let advanced = begun.epoch.0 != begun.epoch.1;
        json!({"kind": name, "found": null, "ended": null, "remaining": advanced.then_some(0), "kept": !advanced})
    });
    let known = |name: &str| actor.origin.user.get(name).cloned().unwrap_or_default();
    json!({
        "version": 1,
        "id": begun.id,
        "action": ACTION,
        "installation": app.site.installation.id,
        "user": {"pk": account.id, "uuid": account.uuid, "username": account.username},
        "actor": {"pk": known("pk"), "username": known("username")},
        "reason": shortened(&order.reason),
        "batch": order.batch,
        "switches": order.switches,
        "epoch": {"before": begun.epoch.0, "after": begun.epoch.1},
        "was_active": account.is_active,
        "artefacts": kinds.chain(carried).collect::<Vec<_>>(),
        "stays": null,
        "sync": null,
        "started": time(begun.started),
        "completed": null,
    })
}

/// The same with what followed.
pub(super) fn completed(mut document: Value, followed: &Followed) -> Value {
    if let Some(kinds) = document.get_mut("artefacts").and_then(Value::as_array_mut) {
        for kind in kinds.iter_mut().filter_map(Value::as_object_mut) {
            let name = kind.get("kind").and_then(Value::as_str).unwrap_or_default();
            if let Some(count) = followed.remaining.get(name).copied() {
                kind.insert("remaining".to_owned(), count.into());
            }
        }
    }
    let stays: Vec<Value> = followed.stays.iter().map(|(kind, count)| json!({"kind": kind, "count": count})).collect();
    if let Some(document) = document.as_object_mut() {
        document.insert("stays".to_owned(), stays.into());
        document.insert("sync".to_owned(), json!(followed.sync));
        document.insert("completed".to_owned(), time(followed.completed).into());
    }
    document
}
