//! The outbox and the connections alone: what many writers and many deliverers do to one row.

use crate::{
    connection::{self, Connection, Saved, Tables},
    scim::refused,
    state::{self, Change, Claimed, Model, Settled, State, Verdict, Which},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use weir_store::{
    Db,
    test_support::{TestDb, test_db},
};
use weir_testkit::TestRandom;

const PROVIDER: i64 = 7;

struct Outbox {
    _kept: TestDb,
    db: Db,
    random: Arc<TestRandom>,
    now: DateTime<Utc>,
}

impl Outbox {
    async fn new() -> Self {
        let kept = test_db().await;
        let now = DateTime::from_timestamp(1_777_000_000, 0).unwrap();
        Self { db: kept.db(), _kept: kept, random: Arc::new(TestRandom::new(1)), now }
    }

    async fn change(&self, model: Model, changes: &[Change]) {
        let mut tx = self.db.tx();
        state::enqueue(&mut tx, (&*self.random, self.now), PROVIDER, model, changes).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn claim(&self, limit: i64) -> Vec<Claimed> {
        let mut tx = self.db.tx();
        let when = (&*self.random as &dyn weir_core::Random, self.now);
        let claimed = state::claim(&mut tx, when, PROVIDER, Which::Due, limit).await.unwrap();
        tx.commit().await.unwrap();
        claimed
    }

    async fn settle(&self, row: &Claimed, verdict: Verdict) -> Settled {
        let mut tx = self.db.tx();
        let settled = state::settle(&mut tx, self.now, row, &verdict, true).await.unwrap();
        tx.commit().await.unwrap();
        settled
    }

    async fn state(&self, key: &str) -> Option<String> {
        let sql = "SELECT state FROM sync_state WHERE object_key = $1";
        self.db.read_one(sql, &[key.into()]).await.unwrap().map(|row| row.text("state").unwrap())
    }
}

#[tokio::test]
async fn many_changes_of_an_object_are_one_row_and_one_delivery() {
    let outbox = Outbox::new().await;
    for _ in 0..10 {
        outbox.change(Model::User, &[Change::of("1"), Change::of("1"), Change::of("2")]).await;
    }
    let claimed = outbox.claim(10).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|row| row.version == 10));
    assert!(outbox.claim(10).await.is_empty(), "what is claimed is in one pair of hands");
    outbox.settle(&claimed[0], Verdict::Is(State::InSync, String::new())).await;
    assert_eq!(outbox.state(&claimed[0].key).await.as_deref(), Some("in_sync"));
}

#[tokio::test]
async fn a_change_during_the_delivery_is_delivered_after_it() {
    let outbox = Outbox::new().await;
    outbox.change(Model::User, &[Change::of("1")]).await;
    let first = outbox.claim(1).await.remove(0);
    outbox.change(Model::User, &[Change::of("1")]).await;
    assert!(outbox.claim(1).await.is_empty(), "not beside the delivery: the older state could win");
    outbox.settle(&first, Verdict::Is(State::InSync, String::new())).await;
    let second = outbox.claim(1).await.remove(0);
    assert_eq!(second.version, first.version + 1);
    // Whoever lost the row settles nothing.
    outbox.settle(&first, Verdict::Forget).await;
    assert_eq!(outbox.state("1").await.as_deref(), Some("pending"));
    outbox.settle(&second, Verdict::Forget).await;
    assert_eq!(outbox.state("1").await, None);
}

#[tokio::test]
async fn of_fifty_deliverers_one_gets_an_object() {
    let outbox = Arc::new(Outbox::new().await);
    outbox.change(Model::User, &[Change::of("1")]).await;
    let tries = (0..50).map(|_| {
        let outbox = Arc::clone(&outbox);
        tokio::spawn(async move { outbox.claim(5).await.len() })
    });
    let got: Vec<usize> =
        futures_util::future::join_all(tries).await.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(got.iter().sum::<usize>(), 1);
}

#[tokio::test]
async fn groups_wait_for_their_members_and_retries_for_their_time() {
    let mut outbox = Outbox::new().await;
    outbox.change(Model::Group, &[Change::of("a")]).await;
    outbox.change(Model::User, &[Change::of("1")]).await;
    let user = outbox.claim(10).await;
    assert!(user.len() == 1 && user[0].model == Model::User);
    let later = outbox.now + TimeDelta::minutes(1);
    outbox.settle(&user[0], Verdict::Again(later, "out of order".to_owned())).await;
    let group = outbox.claim(10).await;
    assert!(group.len() == 1 && group[0].model == Model::Group, "a user that has to wait holds up no group");
    assert!(outbox.claim(10).await.is_empty());
    outbox.now = later;
    let again = outbox.claim(10).await;
    assert_eq!((again.len(), again[0].attempts), (1, 1));
}

#[tokio::test]
async fn a_deliverer_who_does_not_come_back_loses_the_object() {
    let mut outbox = Outbox::new().await;
    outbox.change(Model::User, &[Change::of("1")]).await;
    let lost = outbox.claim(1).await.remove(0);
    outbox.now += TimeDelta::minutes(6);
    let found = outbox.claim(1).await.remove(0);
    assert_ne!(lost.claim, found.claim);
    outbox.settle(&lost, Verdict::Is(State::Failed, "too late".to_owned())).await;
    assert_eq!(outbox.state("1").await.as_deref(), Some("pending"));
}

#[tokio::test]
async fn what_the_target_called_a_deleted_object_is_kept_until_it_is_gone_there_too() {
    let outbox = Outbox::new().await;
    outbox.change(Model::User, &[Change { key: "1".to_owned(), gone: Some(vec!["there-1".to_owned()]) }]).await;
    let first = outbox.claim(1).await.remove(0);
    outbox.settle(&first, Verdict::Is(State::Failed, "refused".to_owned())).await;
    outbox.change(Model::User, &[Change::of("1")]).await;
    let again = outbox.claim(1).await.remove(0);
    assert!(again.gone && again.remote_ids == ["there-1"]);
}

#[tokio::test]
async fn one_full_sync_of_a_provider_runs_at_a_time_and_is_asked_for_again_once() {
    let outbox = Outbox::new().await;
    let (one, two) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let lease = (outbox.now, outbox.now + TimeDelta::hours(1));
    let mut tx = outbox.db.tx();
    assert!(state::begin_full(&mut tx, PROVIDER, one, lease).await.unwrap());
    assert!(!state::begin_full(&mut tx, PROVIDER, two, lease).await.unwrap());
    assert!(state::begin_full(&mut tx, PROVIDER, one, lease).await.unwrap(), "its own task may start anew");
    state::want_again(&mut tx, PROVIDER).await.unwrap();
    assert!(!state::end_full(&mut tx, PROVIDER, two, None).await.unwrap(), "nobody ends another's");
    assert!(state::end_full(&mut tx, PROVIDER, one, Some(outbox.now)).await.unwrap());
    assert!(state::begin_full(&mut tx, PROVIDER, two, lease).await.unwrap());
    assert!(!state::end_full(&mut tx, PROVIDER, two, None).await.unwrap());
    assert_eq!(state::target(&mut tx, PROVIDER).await.unwrap().last_success, Some(outbox.now));
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn whoever_lost_a_claim_learns_of_it_and_a_claim_can_be_held() {
    let mut outbox = Outbox::new().await;
    outbox.change(Model::User, &[Change::of("1"), Change::of("2")]).await;
    let first = outbox.claim(2).await;
    outbox.now += TimeDelta::minutes(1);
    let mut tx = outbox.db.tx();
    state::hold(&mut tx, outbox.now, &first[0].claim).await.unwrap();
    tx.commit().await.unwrap();
    outbox.now += TimeDelta::seconds(150);
    assert!(outbox.claim(2).await.is_empty(), "it is held");
    let due = state::next_due(&outbox.db, PROVIDER).await.unwrap().unwrap();
    assert!(due > outbox.now, "nobody looks again before the claim ends");
    outbox.now += TimeDelta::minutes(3);
    assert_eq!(outbox.claim(2).await.len(), 2);
    assert_eq!(outbox.settle(&first[0], Verdict::Forget).await, Settled::Lost);
}

#[tokio::test]
async fn rows_in_sync_are_settled_together_unless_they_changed() {
    let outbox = Outbox::new().await;
    outbox.change(Model::User, &[Change::of("1"), Change::of("2"), Change::of("3")]).await;
    let claimed = outbox.claim(3).await;
    outbox.change(Model::User, &[Change::of("2")]).await;
    let mut tx = outbox.db.tx();
    let rows: Vec<&Claimed> = claimed.iter().collect();
    state::lock(&mut tx, &claimed[0].claim).await.unwrap();
    let mut done = state::settle_same(&mut tx, outbox.now, &rows).await.unwrap();
    tx.commit().await.unwrap();
    done.sort();
    let mut expected = vec![claimed[0].id.clone(), claimed[2].id.clone()];
    expected.sort();
    assert_eq!(done, expected);
    assert_eq!(outbox.settle(&claimed[1], Verdict::Is(State::InSync, String::new())).await, Settled::Changed);
    assert_eq!(outbox.state("2").await.as_deref(), Some("pending"));
}

#[tokio::test]
async fn what_may_have_been_made_is_looked_for_until_somebody_knows() {
    let outbox = Outbox::new().await;
    outbox.change(Model::User, &[Change::of("1")]).await;
    let row = outbox.claim(1).await.remove(0);
    let marks = serde_json::json!({"userName": "ada"}).as_object().unwrap().clone();
    let mut tx = outbox.db.tx();
    assert!(state::seek(&mut tx, &row, &marks).await.unwrap());
    let verdict = Verdict::Again(outbox.now, "no answer".to_owned());
    assert_eq!(state::settle(&mut tx, outbox.now, &row, &verdict, false).await.unwrap(), Settled::Done);
    tx.commit().await.unwrap();
    outbox.change(Model::User, &[Change { key: "1".to_owned(), gone: Some(Vec::new()) }]).await;
    let row = outbox.claim(1).await.remove(0);
    assert!(row.gone && row.remote_ids.is_empty());
    assert_eq!(row.sought, Some(marks));
    outbox.settle(&row, Verdict::Is(State::InSync, String::new())).await;
    outbox.change(Model::User, &[Change::of("1")]).await;
    let row = outbox.claim(1).await.remove(0);
    assert!(!row.gone && row.sought.is_none(), "what is in sync has no past");
}

#[tokio::test]
async fn a_refusal_of_an_old_token_does_not_end_the_new_one() {
    let outbox = Outbox::new().await;
    let (db, now) = (&outbox.db, outbox.now);
    assert!(!refused(db, now, PROVIDER, "Bearer fixed").await.unwrap(), "nobody renews a fixed token");
    let mut tx = db.tx();
    state::ensure_target(&mut tx, PROVIDER).await.unwrap();
    let sql = "UPDATE sync_target SET access_token = 'new', token_expires = $1";
    tx.write(sql, &[(now + TimeDelta::hours(1)).into()]).await.unwrap();
    tx.commit().await.unwrap();
    let ends = async || state::target(db, PROVIDER).await.unwrap().token_expires;
    assert!(refused(db, now, PROVIDER, "Bearer old").await.unwrap(), "there is another one");
    assert!(ends().await.is_some());
    assert!(refused(db, now + TimeDelta::hours(1), PROVIDER, "Bearer new").await.unwrap(), "it was over");
    assert!(ends().await.is_none());
    assert!(!refused(db, now, PROVIDER, "Bearer new").await.unwrap(), "it is the one in use");
}

#[tokio::test]
async fn a_late_answer_leaves_a_target_alone_that_was_begun_anew() {
    let outbox = Outbox::new().await;
    let (db, until) = (&outbox.db, outbox.now + TimeDelta::seconds(15));
    let turn = async || state::target(db, PROVIDER).await.unwrap().turn;
    let block = async |turn| {
        let mut tx = db.tx();
        let blocked = state::block(&mut tx, (PROVIDER, turn), until, "no answer").await.unwrap();
        tx.commit().await.unwrap();
        blocked
    };
    let asked = turn().await;
    let mut tx = db.tx();
    state::begin_anew(&mut tx, PROVIDER).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!block(asked).await, "somebody wanted it told now");
    let known = state::target(db, PROVIDER).await.unwrap();
    assert_eq!((known.failures, known.blocked_until), (0, None));
    let asked = turn().await;
    assert!(block(asked).await);
    assert!(!block(asked).await, "of two that were asked together one counts");
    let known = state::target(db, PROVIDER).await.unwrap();
    assert_eq!((known.failures, known.blocked_until), (1, Some(until)));
}

/// Connections of the users 1 and 2.
struct Accounts(Outbox);

const TABLES: Tables = Tables { users: "sync_scim_user", groups: "sync_scim_group", id: "scim_id" };

impl Accounts {
    async fn new() -> Self {
        let outbox = Outbox::new().await;
        let mut tx = outbox.db.tx();
        for id in 1..=2_i64 {
            let sql = "INSERT INTO identity_user (id, uuid, username, username_lower, password_change_date, \
                       date_joined, last_updated) VALUES ($1, $2, $2, $2, 0, 0, 0)";
            tx.write(sql, &[id.into(), format!("user-{id}").into()]).await.unwrap();
        }
        tx.commit().await.unwrap();
        Self(outbox)
    }

    /// What an administrator says.
    async fn by_hand(&self, id: &str, user: i64, remote: &str, chosen: i64) {
        let mut tx = self.0.db.tx();
        let sql = "INSERT INTO sync_scim_user (id, scim_id, \"user\", provider, chosen) VALUES ($1, $2, $3, $4, $5)";
        let vals = [id.into(), remote.into(), user.into(), PROVIDER.into(), chosen.into()];
        tx.write(sql, &vals).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn save(&self, user: &str, new: &Connection, before: Option<&str>) -> Saved {
        let mut tx = self.0.db.tx();
        let id = weir_core::Random::uuid(&*self.0.random);
        let which = (Model::User, user);
        let saved = connection::save(&mut tx, id, (&TABLES, PROVIDER), which, (new, before)).await.unwrap();
        tx.commit().await.unwrap();
        saved
    }

    async fn of(&self, user: &str) -> Vec<Connection> {
        connection::of_object(&self.0.db, &TABLES, PROVIDER, (Model::User, user)).await.unwrap()
    }

    async fn names(&self, user: &str) -> Vec<String> {
        self.of(user).await.into_iter().map(|known| known.remote_id).collect()
    }
}

fn account(id: &str, remote: &str, name: &str) -> Connection {
    let attributes = serde_json::json!({"name": name}).as_object().unwrap().clone();
    Connection { id: id.to_owned(), remote_id: remote.to_owned(), attributes, members: Vec::new() }
}

#[tokio::test]
async fn what_an_administrator_connects_during_a_delivery_is_in_use_and_not_overwritten() {
    let accounts = Accounts::new().await;
    // Made there, while somebody connected another account.
    accounts.by_hand("a", 1, "by-hand", 5).await;
    assert_eq!(accounts.save("1", &account("", "made", "ada"), None).await, Saved::Kept);
    assert_eq!(accounts.names("1").await, ["by-hand", "made"]);
    // Changed there.
    let known = accounts.of("1").await;
    let changed = account(&known[0].id, "by-hand", "king");
    accounts.by_hand("b", 1, "newer", 6).await;
    assert_eq!(accounts.save("1", &changed, Some("by-hand")).await, Saved::Kept);
    assert_eq!(accounts.names("1").await, ["newer", "by-hand", "made"]);
    assert!(accounts.of("1").await[0].attributes.is_empty(), "nobody has told the newer one");
    assert_eq!(accounts.of("1").await[1].attributes["name"], "king");
    let page = connection::page(&accounts.0.db, &TABLES, PROVIDER, Model::User, (None, 10)).await.unwrap();
    assert_eq!(page, ["1"], "one object, however many accounts");
}

#[tokio::test]
async fn a_connection_that_was_removed_during_a_delivery_stays_removed() {
    let accounts = Accounts::new().await;
    accounts.save("1", &account("", "there", "ada"), None).await;
    let known = accounts.of("1").await.remove(0);
    let mut tx = accounts.0.db.tx();
    connection::forget(&mut tx, &TABLES, Model::User, std::slice::from_ref(&known.id)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(accounts.save("1", &account(&known.id, "there", "king"), Some("there")).await, Saved::Removed);
    assert_eq!(accounts.save("1", &account(&known.id, "renamed", "king"), Some("there")).await, Saved::Removed);
    assert!(accounts.of("1").await.is_empty());
    // What was made there meanwhile is nobody else's.
    assert_eq!(accounts.save("1", &account(&known.id, "anew", "king"), None).await, Saved::Kept);
    assert_eq!(accounts.names("1").await, ["anew"]);
}

#[tokio::test]
async fn an_account_belongs_to_one_user_and_to_one_connection_of_his() {
    let accounts = Accounts::new().await;
    accounts.by_hand("a", 1, "one", 5).await;
    accounts.by_hand("b", 1, "other", 6).await;
    assert_eq!(accounts.save("2", &account("", "one", "bob"), None).await, Saved::Taken);
    assert_eq!(accounts.save("3", &account("", "third", "carol"), None).await, Saved::Gone);
    // The target calls the account of one connection as that of another: they are the same.
    assert_eq!(accounts.save("1", &account("b", "one", "ada"), Some("other")).await, Saved::Kept);
    assert_eq!(accounts.names("1").await, ["one"]);
    assert_eq!(accounts.of("1").await[0].id, "b");
    // Found by name, and connected by hand just before.
    assert_eq!(accounts.save("1", &account("", "one", "king"), None).await, Saved::Kept);
    assert_eq!(accounts.of("1").await[0].attributes["name"], "king");
    assert_eq!(accounts.names("1").await, ["one"]);
}
