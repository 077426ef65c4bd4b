mod applications;
mod avatars;
mod dry_run;
mod endpoints;
mod escalation;
mod events;
mod filters;
mod lists;
mod objects;
mod people;
mod rights;
mod samples;
mod stand;

use std::sync::Arc;

use serde_json::json;
use weir_core::{SystemClock, SystemRandom};
use weir_crypto::HashCost;
use weir_expression::WorkerCommand;
use weir_identity::{BootstrapOutcome, accounts, bootstrap::ADMIN_USERNAME};
use weir_store::{
    Db,
    jobs::{self, JobFilter, JobState, NewJob},
    test_support::{TestDb, test_db},
};

use super::{Core, Options, first_accounts, jobs::runner, setup};
use crate::config::Config;

fn options() -> Options {
    Options {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        hash_cost: HashCost::CHEAP,
        // Nothing here evaluates an expression.
        expression_worker: WorkerCommand { program: "/nonexistent".into(), args: Vec::new() },
        asks_for_pictures: false,
    }
}

async fn core(db: &TestDb, config: &Config) -> Arc<Core> {
    core_with(db, config, options()).await
}

async fn core_with(db: &TestDb, config: &Config, options: Options) -> Arc<Core> {
    Core::open(config, options, db.db()).await.unwrap()
}

fn with_password() -> Config {
    Config { bootstrap_password: Some(weir_core::Secret("Correct-horse-1".to_owned())), ..Config::default() }
}

async fn install(db: &TestDb, config: &Config) -> (Arc<Core>, Option<String>) {
    let core = core(db, config).await;
    let outcome = first_accounts(config, &core).await.unwrap();
    let token = setup::offer(&core.site, outcome, config.bootstrap_password.is_some()).await.unwrap();
    (core, token)
}

async fn restart(core: &Core) -> Option<String> {
    setup::offer(&core.site, BootstrapOutcome::AlreadyDone, false).await.unwrap()
}

async fn admin_hash(db: &Db) -> String {
    let admin = accounts::find_by_username(db, ADMIN_USERNAME).await.unwrap().unwrap();
    accounts::password_hash(db, admin.id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_first_start_without_password_offers_a_link_whose_token_is_nowhere_in_the_database() {
    let db = test_db().await;
    let (core, token) = install(&db, &Config::default()).await;
    let token = token.unwrap();
    assert!(token.len() >= 22, "128 bits at least");
    assert!(setup::verify(&core.site, &token).await.unwrap());
    assert!(!setup::verify(&core.site, "").await.unwrap());
    assert!(!setup::verify(&core.site, &token[1..]).await.unwrap());
    let rows = db.read("SELECT value FROM installation", &[]).await.unwrap();
    assert!(rows.iter().all(|row| !row.text("value").unwrap().contains(&token)));
}

#[tokio::test]
async fn a_restart_before_the_set_up_offers_a_new_link_and_ends_the_old_one() {
    let db = test_db().await;
    let (core, first) = install(&db, &Config::default()).await;
    let second = restart(&core).await.unwrap();
    assert!(!setup::verify(&core.site, &first.unwrap()).await.unwrap());
    assert!(setup::verify(&core.site, &second).await.unwrap());
}

#[tokio::test]
async fn after_the_set_up_no_link_works_and_none_is_offered_again() {
    let db = test_db().await;
    let (core, token) = install(&db, &Config::default()).await;
    setup::finish(&core.site).await.unwrap();
    assert!(!setup::verify(&core.site, &token.unwrap()).await.unwrap());
    assert_eq!(restart(&core).await, None);
}

#[tokio::test]
async fn a_bootstrap_password_is_set_and_leaves_no_link() {
    let db = test_db().await;
    let (core, token) = install(&db, &with_password()).await;
    assert_eq!(token, None);
    assert!(admin_hash(&db).await.starts_with("argon2"), "a hash, not the password");
    assert_eq!(restart(&core).await, None);
}

#[tokio::test]
async fn a_bootstrap_password_on_a_later_start_changes_nothing() {
    let db = test_db().await;
    install(&db, &Config::default()).await;
    let before = admin_hash(&db).await;
    let core = core(&db, &with_password()).await;
    first_accounts(&with_password(), &core).await.unwrap();
    assert_eq!(admin_hash(&db).await, before);
}

#[tokio::test]
async fn an_administrator_who_is_gone_or_has_a_password_closes_the_set_up_for_good() {
    let db = test_db().await;
    let (core, token) = install(&db, &Config::default()).await;
    let mut tx = db.tx();
    tx.write("DELETE FROM identity_user WHERE username = $1", &[ADMIN_USERNAME.into()]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(restart(&core).await, None);
    assert!(!setup::verify(&core.site, &token.unwrap()).await.unwrap());
}

#[tokio::test]
async fn housekeeping_removes_what_has_ended_and_keeps_the_rest() {
    let db = test_db().await;
    let config = Config::default();
    let core = core(&db, &config).await;
    let now = core.site.clock.now();
    let mut tx = db.tx();
    for (id, expires) in [("old", now - chrono::TimeDelta::hours(1)), ("new", now + chrono::TimeDelta::hours(1))] {
        let sql = "INSERT INTO audit_event (id, \"user\", action, app, context, created, expires) \
                   VALUES ($1, '{}', 'login', 'x', '{}', $2, $2)";
        tx.write(sql, &[id.into(), expires.into()]).await.unwrap();
        let sql = "INSERT INTO identity_session (key_digest, uuid, expires, last_used, created) \
                   VALUES ($1, $1, $2, $2, $2)";
        tx.write(sql, &[id.into(), expires.into()]).await.unwrap();
    }
    jobs::enqueue(&mut tx, core.site.random.uuid(), now, &NewJob::new("clean_expired", json!({}))).await.unwrap();
    tx.commit().await.unwrap();
    runner(&config, &core).await.unwrap().run_due().await.unwrap();
    for table in ["audit_event", "identity_session"] {
        let key = if table == "audit_event" { "id" } else { "key_digest" };
        let rows = db.read(&format!("SELECT {key} AS id FROM {table}"), &[]).await.unwrap();
        let left: Vec<String> = rows.iter().map(|row| row.text("id").unwrap()).collect();
        assert_eq!(left, ["new"], "{table}");
    }
    let done = jobs::list(&db, &JobFilter::default()).await.unwrap();
    assert!(done.items.iter().all(|job| job.state == JobState::Done), "{:?}", done.items);
    let clean = done.items.iter().find(|job| job.actor_name == "clean_expired").unwrap();
    let said: Vec<&str> = clean.logs.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(said, ["Removed 1 rows of identity_session", "Removed 1 rows of audit_event", "Removed 2 rows"]);
    let removed = &clean.logs[2].attributes["removed"];
    assert_eq!((&removed["audit_event"], &removed["mail_outbox"]), (&json!(1), &json!(0)), "{removed}");
}

#[tokio::test]
async fn housekeeping_keeps_the_budget_of_events_and_the_chain_sound() {
    let db = test_db().await;
    let mut config = Config::default();
    config.events.max_rows = 5;
    let core = core(&db, &config).await;
    let (now, key) = (core.site.clock.now(), core.site.installation.chain_key());
    let mut tx = db.tx();
    for number in 0..9 {
        let event = weir_events::Event::new("login", "x", json!({"number": number}));
        let (origin, kept) = (weir_events::Origin::system(), chrono::TimeDelta::days(1));
        weir_events::record(&mut tx, &*core.site.random, now, kept, &origin, event).await.unwrap();
    }
    jobs::enqueue(&mut tx, core.site.random.uuid(), now, &NewJob::new("clean_expired", json!({}))).await.unwrap();
    tx.commit().await.unwrap();
    super::events::seal_waiting(&core).await.unwrap();
    let before = weir_events::chain::verify(&db, &key, None).await.unwrap().unwrap();
    runner(&config, &core).await.unwrap().run_due().await.unwrap();
    super::events::seal_waiting(&core).await.unwrap();
    let found = weir_events::chain::verify(&db, &key, None).await.unwrap().unwrap();
    assert_eq!((found.checked, found.removed), (6, before.checked - 5), "five, and the one that tells of it");
    let told = db.read("SELECT context FROM audit_event WHERE action = 'configuration_warning'", &[]).await.unwrap();
    assert_eq!(told[0].json("context").unwrap()["removed"], before.checked - 5);
}

#[tokio::test]
async fn the_events_of_a_deleted_user_are_forgotten_and_the_chain_stays_sound() {
    let db = test_db().await;
    let config = Config::default();
    let core = core(&db, &config).await;
    let (now, key) = (core.site.clock.now(), core.site.installation.chain_key());
    let mut tx = db.tx();
    for user in [7, 8, 7] {
        let origin = weir_events::Origin { user_id: Some(user), ..weir_events::Origin::system() };
        let event = weir_events::Event::new("login", "x", json!({}));
        let kept = chrono::TimeDelta::days(1);
        weir_events::record(&mut tx, &*core.site.random, now, kept, &origin, event).await.unwrap();
    }
    let args = json!({"user": 7, "before": now.timestamp_micros()});
    jobs::enqueue(&mut tx, core.site.random.uuid(), now, &NewJob::new("forget_events", args)).await.unwrap();
    tx.commit().await.unwrap();
    runner(&config, &core).await.unwrap().run_due().await.unwrap();
    let left = db.read("SELECT COUNT(*) AS n FROM audit_event WHERE user_id IN (7, 8)", &[]).await.unwrap();
    assert_eq!(left[0].int("n").unwrap(), 1);
    assert_eq!(weir_events::chain::verify(&db, &key, None).await.unwrap().unwrap().removed, 2);
}

#[tokio::test]
async fn an_instance_that_is_unknown_fails_its_task_with_a_reason() {
    let db = test_db().await;
    let config = Config::default();
    let core = core(&db, &config).await;
    let mut tx = db.tx();
    let mut job = NewJob::new("apply_blueprint", json!({"instance": core.site.random.uuid()}));
    job.max_retries = 0;
    jobs::enqueue(&mut tx, core.site.random.uuid(), core.site.clock.now(), &job).await.unwrap();
    tx.commit().await.unwrap();
    runner(&config, &core).await.unwrap().run_due().await.unwrap();
    let jobs = jobs::list(&db, &JobFilter::default()).await.unwrap().items;
    let job = jobs.iter().find(|job| job.actor_name == "apply_blueprint").unwrap();
    assert_eq!(job.state, JobState::Rejected);
    let told = db.read("SELECT context FROM audit_event WHERE action = 'system_task_exception'", &[]).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].json("context").unwrap()["task"], "apply_blueprint");
    let logs = jobs::find(&db, job.id).await.unwrap().unwrap().logs;
    assert!(logs.iter().any(|line| line.event.contains("Not found")), "{logs:?}");
}
