//! The lockdown: one transaction that ends everything, a look that nothing is left, then everybody who has to know.

use super::record;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_events::{Event, action};
use weir_flow::{App, sync::Delivery};
use weir_identity::{
    Account, User,
    accounts::{self, INTERNAL_SERVICE_ACCOUNT, UNUSABLE_PASSWORD},
    artefacts::{self, Group},
    kind, session,
    token::revoked::{self, Which},
};
use weir_resource::{Actor, Unit, store};

/// What `action_id` says in the audit trail.
const ACTION: &str = "account_lockdown";
/// Application label of what is written to the audit trail.
pub(super) const APP: &str = "authentik_stages_account_lockdown";
/// Longest reason kept, characters.
pub const REASON_CHARS: usize = 2000;
/// Looks for artefacts that turned up after the commit. None can; this is the second line of defence.
const SWEEPS: usize = 10;

/// What a lockdown does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// The account is deactivated.
    pub deactivate_user: bool,
    /// The password is removed.
    pub set_unusable_password: bool,
    /// Sessions end.
    pub delete_sessions: bool,
    /// Everything else that lets somebody act as the user ends.
    pub revoke_tokens: bool,
}

impl Switches {
    /// Everything.
    pub const ALL: Self =
        Self { deactivate_user: true, set_unusable_password: true, delete_sessions: true, revoke_tokens: true };

    fn groups(self) -> Vec<Group> {
        let all = [(Group::Sessions, self.delete_sessions), (Group::Tokens, self.revoke_tokens)];
        all.into_iter().filter(|(_, wanted)| *wanted).map(|(group, _)| group).collect()
    }
}

/// A lockdown to carry out. Whether the actor may is decided before.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whom.
    pub user: i64,
    /// Why; kept in the audit trail and the record.
    pub reason: String,
    /// What is done.
    pub switches: Switches,
    /// The list it belongs to.
    pub batch: Option<Uuid>,
    /// The session whose plan led here: of several answers of it one counts.
    pub claim: Option<Claim>,
}

/// A step of a session's plan that is passed together with the lockdown.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The session.
    pub session: String,
    /// Version of its plan.
    pub version: i64,
    /// Its plan behind the step.
    pub flow: String,
}

/// How it went.
#[derive(Debug)]
pub enum Done {
    /// The account is locked.
    Locked(Box<Lockdown>),
    /// There is no such account, or it is one that Weir keeps for itself.
    NoTarget,
    /// Another answer of the same session was faster.
    Beaten,
}

/// A lockdown that happened.
#[derive(Debug)]
pub struct Lockdown {
    /// Key of its record.
    pub id: Uuid,
    /// The account as it was before.
    pub account: Account,
    /// Its epoch now.
    pub epoch: i64,
    /// What was found, ended and is left, as the record says it.
    pub document: Value,
    /// The record's signature.
    pub signature: String,
}

/// What the transaction did.
struct Begun {
    id: Uuid,
    account: Account,
    epoch: (i64, i64),
    started: DateTime<Utc>,
    found: BTreeMap<&'static str, i64>,
    ended: BTreeMap<&'static str, i64>,
}

/// What followed.
struct Followed {
    remaining: BTreeMap<&'static str, i64>,
    sync: Vec<Delivery>,
    completed: DateTime<Utc>,
}

/// Whether an account can be locked: everybody's, but for those that Weir keeps for outposts.
pub fn is_lockable(account: &Account) -> bool {
    account.kind != INTERNAL_SERVICE_ACCOUNT
}

/// Locks an account. Everything that had been written in the unit is committed with it.
///
/// # Errors
/// Those of the store. The account is not locked then, unless the error came from the look afterwards.
pub async fn carry_out(app: &App, unit: Unit<'_>, order: &Order) -> Result<Done, ApiError> {
    let actor = unit.actor.clone();
    let begun = match begin(app, unit, order).await? {
        Ok(begun) => begun,
        Err(done) => return Ok(done),
    };
    let remaining = sweep(app, order).await?;
    let sync = if order.switches.deactivate_user { app.sync.deliver(order.user).await } else { Vec::new() };
    let followed = Followed { remaining, sync, completed: app.site.clock.now() };
    let document = document(app, &actor, order, &begun, Some(&followed));
    // The account is locked, whatever becomes of the report.
    let signature = match report(app, actor, order, &begun, &document).await {
        Ok(signature) => signature,
        Err(error) => {
            tracing::error!(user = order.user, %error, "a lockdown could not be reported in full");
            record::find(&app.site.db, begun.id).await?.map(|found| found.signature).unwrap_or_default()
        }
    };
    Ok(Done::Locked(Box::new(Lockdown {
        id: begun.id,
        account: begun.account,
        epoch: begun.epoch.1,
        document,
        signature,
    })))
}

async fn begin(app: &App, mut unit: Unit<'_>, order: &Order) -> Result<Result<Begun, Done>, ApiError> {
    let account = accounts::lock(&mut unit.tx, order.user).await.map_err(store)?;
    let Some(account) = account.filter(is_lockable) else {
        unit.rollback().await?;
        return Ok(Err(Done::NoTarget));
    };
    if let Some(Claim { session, version, flow }) = &order.claim
        && !session::save_flow(&mut unit.tx, session, *version, Some(flow), None).await.map_err(store)?
    {
        unit.rollback().await?;
        return Ok(Err(Done::Beaten));
    }
    let (switches, user) = (order.switches, order.user);
    let started = app.site.clock.now();
    let found = artefacts::count(&mut unit.tx, user).await.map_err(store)?;
    if switches.deactivate_user && account.is_active {
        let users = kind::<User>(unit.site)?;
        unit.set(users, &user.to_string(), Map::from_iter([("is_active".to_owned(), false.into())])).await?;
    }
    if switches.set_unusable_password {
        accounts::set_password_hash(&mut unit.tx, user, UNUSABLE_PASSWORD, started).await.map_err(store)?;
    }
    let groups = switches.groups();
    let before = account.security_epoch;
    let mut after = before;
    if !groups.is_empty() {
        if groups.contains(&Group::Tokens) {
            revoked::remember(&mut unit.tx, started, Which::AllOf(user)).await.map_err(store)?;
        }
        artefacts::end(&mut unit.tx, user, &groups).await.map_err(store)?;
        after = accounts::advance_epoch(&mut unit.tx, user).await.map_err(store)?.unwrap_or(before);
        artefacts::carry_over(&mut unit.tx, user, &groups, (before, after)).await.map_err(store)?;
    }
    let left = artefacts::count(&mut unit.tx, user).await.map_err(store)?;
    let ended = found.iter().map(|(name, count)| (*name, count - left.get(name).copied().unwrap_or(0))).collect();
    let begun = Begun { id: app.site.random.uuid(), account, epoch: (before, after), started, found, ended };
    let document = document(app, &unit.actor, order, &begun, None);
    let seal = record::seal(&mut unit).await?;
    let kept = record::NewRecord {
        id: begun.id,
        account: &begun.account,
        batch: order.batch,
        document: &document,
        signature: &record::sign(&seal, &document),
        created: started,
    };
    record::write(&mut unit, &kept).await?;
    unit.commit().await?;
    Ok(Ok(begun))
}

/// How many of each kind are left; what turned up meanwhile is ended too.
async fn sweep(app: &App, order: &Order) -> Result<BTreeMap<&'static str, i64>, ApiError> {
    let groups = order.switches.groups();
    let mut left = artefacts::count(&app.site.db, order.user).await.map_err(store)?;
    for _ in 0..SWEEPS {
        let ended = |name: &str| artefacts::ARTEFACTS.iter().any(|a| a.kind == name && groups.contains(&a.group));
        if !left.iter().any(|(name, count)| *count > 0 && ended(name)) {
            break;
        }
        tracing::warn!(user = order.user, "something was minted beside a lockdown");
        let mut tx = app.site.db.tx();
        accounts::lock(&mut tx, order.user).await.map_err(store)?;
        artefacts::end(&mut tx, order.user, &groups).await.map_err(store)?;
        tx.commit().await.map_err(store)?;
        left = artefacts::count(&app.site.db, order.user).await.map_err(store)?;
    }
    Ok(left)
}

/// Completes the record and tells the audit trail.
async fn report(app: &App, actor: Actor, order: &Order, begun: &Begun, document: &Value) -> Result<String, ApiError> {
    let mut unit = Unit::new(&app.site, actor);
    let seal = record::seal(&mut unit).await?;
    let signature = record::sign(&seal, document);
    record::complete(&mut unit, begun.id, document, &signature).await?;
    let part = |name: &str| document.get(name).cloned().unwrap_or_default();
    let context = json!({
        "action_id": ACTION,
        "reason": shortened(&order.reason),
        "affected_user": begun.account.username,
        "lockdown": {
            "id": begun.id, "epoch": part("epoch"), "artefacts": part("artefacts"), "sync": part("sync"),
            "batch": order.batch,
        },
    });
    unit.event(Event::new(action::USER_WRITE, APP, context)).await?;
    unit.commit().await?;
    Ok(signature)
}

fn shortened(reason: &str) -> String {
    reason.chars().filter(|c| *c != '\0').take(REASON_CHARS).collect()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// What is signed. Without what followed it is the record of a lockdown whose server died before it could look again.
fn document(app: &App, actor: &Actor, order: &Order, begun: &Begun, followed: Option<&Followed>) -> Value {
    let account = &begun.account;
    let groups = order.switches.groups();
    let kinds = artefacts::ARTEFACTS.iter().map(|artefact| {
        let of = |counts: &BTreeMap<&'static str, i64>| counts.get(artefact.kind).copied().unwrap_or(0);
        json!({
            "kind": artefact.kind,
            "found": of(&begun.found),
            "ended": of(&begun.ended),
            "remaining": followed.map(|f| of(&f.remaining)),
            "kept": !groups.contains(&artefact.group),
        })
    });
    // Not ours to count; the epoch ends them.
    let carried = artefacts::CARRIED.iter().map(|name| {
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
        "sync": followed.map(|f| json!(f.sync)),
        "started": time(begun.started),
        "completed": followed.map(|f| time(f.completed)),
    })
}
