//! A dry run of everything that policies can do leaves the whole database as it was.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_core::Resource;
use weir_expression::WorkerCommand;
use weir_flow::{Flow, FlowStageBinding};
use weir_identity::accounts;
use weir_policy::{
    DummyPolicy, EventMatcherPolicy, ExpressionPolicy, GeoIPPolicy, PasswordExpiryPolicy, PasswordPolicy,
    PolicyBinding, ReputationPolicy, UniquePasswordPolicy,
};
use weir_stages::dummy::DummyStage;
use weir_store::{Db, Dialect};

use super::{Options, options, stand::Stand};

/// Every row of every table as text.
async fn everything(db: &Db) -> BTreeMap<String, Vec<String>> {
    let tables = match db.dialect() {
        Dialect::Sqlite => {
            "SELECT m.name AS tab, group_concat('quote(\"' || c.name || '\")', '||'',''||') AS line \
             FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.sql NOT LIKE 'CREATE VIRTUAL%' GROUP BY m.name"
        }
        Dialect::Postgres => {
            "SELECT table_name::text AS tab, 't::text'::text AS line FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
    };
    let mut found = BTreeMap::new();
    for table in db.read(tables, &[]).await.unwrap() {
        let (name, line) = (table.text("tab").unwrap(), table.text("line").unwrap());
        let rows = db.read(&format!("SELECT {line} AS line FROM \"{name}\" t ORDER BY 1"), &[]).await.unwrap();
        found.insert(name, rows.iter().map(|row| row.text("line").unwrap()).collect());
    }
    found
}

/// The worker beside the test's own program.
fn worker() -> WorkerCommand {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("weir-expression-worker");
    assert!(program.exists(), "build it first: cargo build -p weir-expression-worker --ignore-rust-version");
    WorkerCommand { program, args: Vec::new() }
}

/// Binds a policy that logs its runs.
async fn bind<P: Resource>(stand: &Stand, target: &str, order: i32, body: Value) -> String {
    let mut body = body;
    body["name"] = format!("{}-{order}", P::SCHEMA).into();
    body["execution_logging"] = true.into();
    let policy = stand.make::<P>(body).await.pk;
    stand.make::<PolicyBinding>(json!({"target": target, "policy": policy, "order": order})).await.pk
}

async fn bind_every_kind(stand: &Stand, target: &str) -> String {
    let script = "ak_create_event('seen')\nak_send_email('a@example.org', 'Hello', body='x')\n\
                  context['flow_plan'].context['left'] = 1\nreturn True";
    bind::<ExpressionPolicy>(stand, target, 0, json!({"expression": script})).await;
    bind::<ExpressionPolicy>(stand, target, 1, json!({"expression": "return requests.get('http://127.0.0.1:1/').ok"}))
        .await;
    bind::<ExpressionPolicy>(stand, target, 2, json!({"expression": "return 1 / 0"})).await;
    bind::<DummyPolicy>(stand, target, 3, json!({"result": true})).await;
    bind::<PasswordPolicy>(stand, target, 4, json!({"check_have_i_been_pwned": true})).await;
    bind::<ReputationPolicy>(stand, target, 5, json!({})).await;
    bind::<EventMatcherPolicy>(stand, target, 6, json!({"action": "login"})).await;
    bind::<GeoIPPolicy>(stand, target, 7, json!({"countries": ["DE"], "check_impossible_travel": true})).await;
    bind::<UniquePasswordPolicy>(stand, target, 8, json!({})).await;
    bind::<PasswordExpiryPolicy>(stand, target, 9, json!({"days": -1})).await
}

#[tokio::test]
async fn no_row_of_any_table_differs_after_a_dry_run() {
    let stand = Stand::start_with(Options { expression_worker: worker(), ..options() }).await;
    let ann = stand.person("ann").await;
    let mut unit = stand.unit();
    accounts::set_password_hash(&mut unit.tx, ann.id, "old", stand.core.site.clock.now()).await.unwrap();
    unit.commit().await.unwrap();
    let flow = json!({"name": "f", "slug": "f", "title": "f", "designation": "authentication"});
    let flow = stand.make::<Flow>(flow).await.pk;
    let stage = stand.make::<DummyStage>(json!({"name": "s"})).await.pk;
    let step = json!({"target": flow, "stage": stage, "order": 0, "evaluate_on_plan": true});
    let step = stand.make::<FlowStageBinding>(step).await.pk;
    bind_every_kind(&stand, &flow).await;
    let mut last = String::new();
    for order in [20, 21] {
        last = bind::<PasswordExpiryPolicy>(&stand, &step, order, json!({"days": -1})).await;
    }
    let context = json!({"prompt_data": {"password": "correct horse battery staple"}});

    let before = everything(&stand.core.site.db).await;
    assert!(before.len() > 40 && before["identity_user"].len() > 1, "the database is read");
    for asked in [json!({"flow": flow}), json!({"target": flow}), json!({"binding": last})] {
        let mut asked = asked;
        asked["user"] = ann.id.into();
        asked["context"] = context.clone();
        let shown = stand.post(&stand.admin, "/weir/dry_run/", asked.clone()).await.expect(200);
        let effects: Vec<&str> = shown["policies"]["effects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|effect| effect["effect"].as_str().unwrap())
            .collect();
        let expected: &[&str] = match asked.get("binding") {
            None => &["create_event", "send_mail", "expire_password"],
            Some(_) => &["expire_password"],
        };
        assert_eq!(effects, expected, "{shown:#}");
    }
    let after = everything(&stand.core.site.db).await;
    for (table, rows) in &before {
        assert_eq!(&after[table], rows, "{table}");
    }
}
