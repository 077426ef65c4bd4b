//! The lockdown: one transaction that ends everything; what follows after the commit is in [`follow`](super::follow).

use super::{bulk, document, follow, record};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Map};
use weir_flow::App;
use weir_identity::{
    Account, User,
    accounts::{self, INTERNAL_SERVICE_ACCOUNT, UNUSABLE_PASSWORD},
    artefacts::{self, Counts, Group},
    kind, session,
    token::revoked::{self, Which},
};
use weir_pki::Seal;
use weir_resource::{Unit, store};

/// What `action_id` says in the audit trail.
pub(super) const ACTION: &str = "account_lockdown";
/// Application label of what is written to the audit trail.
pub(super) const APP: &str = "authentik_stages_account_lockdown";
/// Longest reason kept, characters.
pub const REASON_CHARS: usize = 2000;

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

    pub(super) fn groups(self) -> Vec<Group> {
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
    /// The list it belongs to, on which the user still waits.
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
    /// Another answer of the same session, or another worker of the same list, was faster.
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
pub(super) struct Begun {
    pub id: Uuid,
    pub account: Account,
    pub epoch: (i64, i64),
    pub started: DateTime<Utc>,
    pub found: Counts,
    pub ended: Counts,
}

/// Whether an account can be locked: everybody's, but for those that Weir keeps for outposts.
pub fn is_lockable(account: &Account) -> bool {
    account.kind != INTERNAL_SERVICE_ACCOUNT
}

/// Locks an account. Everything that had been written in the unit is committed with it.
///
/// # Errors
/// 403 when the acting user was locked down meanwhile; those of the store. Nothing happened then.
pub async fn carry_out(app: &App, unit: Unit<'_>, order: &Order) -> Result<Done, ApiError> {
    let mut done = carry_out_all(app, unit, std::slice::from_ref(order)).await?;
    Ok(done.pop().unwrap_or(Done::NoTarget))
}

/// Locks several accounts in one transaction: all or, when it fails, none. The outcomes are in the order of the orders.
///
/// # Errors
/// As [`carry_out`].
pub async fn carry_out_all(app: &App, mut unit: Unit<'_>, orders: &[Order]) -> Result<Vec<Done>, ApiError> {
    unit.tx.begin_write().await.map_err(store)?;
    let seal = record::seal(&mut unit).await?;
    // By their keys, as everywhere: two who lock several cannot wait for each other.
    let mut sorted: Vec<(usize, &Order)> = orders.iter().enumerate().collect();
    sorted.sort_by_key(|(_, order)| order.user);
    let (mut begun, mut others) = (Vec::new(), Vec::new());
    for (place, order) in sorted {
        match begin(app, &mut unit, &seal, order).await? {
            Ok(one) => begun.push((place, one)),
            Err(done) => others.push((place, done)),
        }
    }
    if begun.is_empty() {
        unit.rollback().await?;
    } else {
        // Whoever was locked down since this request was let in locks nobody. One's own epoch is another one by now.
        if !orders.iter().any(|order| Some(order.user) == unit.actor.user_id) {
            accounts::check_actor(&mut unit).await?;
        }
        let actor = unit.actor.clone();
        unit.commit().await?;
        let (places, begun): (Vec<usize>, Vec<follow::Committed>) = begun.into_iter().unzip();
        let locked = follow::all(app, &actor, &seal, begun).await;
        others.extend(places.into_iter().zip(locked.into_iter().map(|one| Done::Locked(Box::new(one)))));
    }
    others.sort_by_key(|(place, _)| *place);
    Ok(others.into_iter().map(|(_, done)| done).collect())
}

async fn begin(
    app: &App,
    unit: &mut Unit<'_>,
    seal: &Seal,
    order: &Order,
) -> Result<Result<follow::Committed, Done>, ApiError> {
    let account = accounts::lock(&mut unit.tx, order.user).await.map_err(store)?;
    let Some(account) = account.filter(is_lockable) else { return Ok(Err(Done::NoTarget)) };
    if unit.actor.user_id == Some(account.id) && unit.actor.epoch.is_some_and(|epoch| epoch != account.security_epoch) {
        return Err(ApiError::unauthenticated());
    }
    if let Some(Claim { session, version, flow }) = &order.claim
        && !session::save_flow(&mut unit.tx, session, *version, Some(flow), None).await.map_err(store)?
    {
        return Ok(Err(Done::Beaten));
    }
    let id = app.site.random.uuid();
    if let Some(batch) = order.batch
        && !bulk::settle(unit, batch, order.user, id).await?
    {
        return Ok(Err(Done::Beaten));
    }
    let begun = end(app, unit, order, (id, account)).await?;
    let document = document::begun(app, &unit.actor, order, &begun);
    let kept = record::NewRecord {
        id,
        account: &begun.account,
        batch: order.batch,
        document: &document,
        signature: &record::sign(seal, &document),
        created: begun.started,
    };
    record::write(unit, &kept).await?;
    Ok(Ok(follow::Committed { order: order.clone(), signature: kept.signature.to_owned(), document, begun }))
}

/// Ends everything. The account's row is locked, so that nothing can come while this counts and ends.
async fn end(app: &App, unit: &mut Unit<'_>, order: &Order, (id, account): (Uuid, Account)) -> Result<Begun, ApiError> {
    let (switches, user) = (order.switches, order.user);
    let started = app.site.clock.now();
    let found = artefacts::count(&mut unit.tx, user).await.map_err(store)?;
    let groups = switches.groups();
    let before = account.security_epoch;
    if groups.contains(&Group::Tokens) && found.get("api_token").is_some_and(|count| *count > 0) {
        revoked::remember(&mut unit.tx, started, Which::AllOf(user)).await.map_err(store)?;
    }
    let number = artefacts::end(&mut unit.tx, user, &groups, &found).await.map_err(store)?;
    if switches.deactivate_user && account.is_active {
        let users = kind::<User>(unit.site)?;
        unit.set(users, &user.to_string(), Map::from_iter([("is_active".to_owned(), false.into())])).await?;
    }
    if switches.set_unusable_password {
        accounts::set_password_hash(&mut unit.tx, user, UNUSABLE_PASSWORD, started).await.map_err(store)?;
    }
    // Last: whoever locks themselves is of another epoch from here on.
    let mut after = before;
    if !groups.is_empty() {
        after = accounts::advance_epoch(&mut unit.tx, user).await.map_err(store)?.unwrap_or(before);
        artefacts::carry_over(&mut unit.tx, user, &groups, (before, after)).await.map_err(store)?;
    }
    // Usually all that was found ended, and one need not count again.
    let ended = if number == found.values().sum::<i64>() {
        found.clone()
    } else {
        let left = artefacts::count(&mut unit.tx, user).await.map_err(store)?;
        found.iter().map(|(name, count)| (*name, count - left.get(name).copied().unwrap_or(0))).collect()
    };
    Ok(Begun { id, account, epoch: (before, after), started, found, ended })
}
