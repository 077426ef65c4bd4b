//! Every example blueprint: imported, run, exported, imported elsewhere.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test without its site has failed")]

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use weir::{Config, Core, Options};
use weir_blueprints::{
    Document, Source, export,
    import::{self, Request},
    shipped,
};
use weir_core::Map;
use weir_expression::WorkerCommand;
use weir_flow::{
    Flow,
    executor::{Executor, Input, Reply},
};
use weir_identity::{BootstrapOptions, accounts, bootstrap};
use weir_policy::RequestInfo;
use weir_resource::{Actor, Stored, Unit};
use weir_store::test_support::{TestDb, test_db};

/// Flow, who opens it, and what it asks first.
const FIRST_STEPS: &[(&str, Who, &str)] = &[
    ("authenticator-email-setup", Who::Administrator, "ak-stage-authenticator-email"),
    ("authenticator-sms-setup", Who::Administrator, "ak-stage-authenticator-sms"),
    ("default-account-lockdown", Who::Administrator, "ak-stage-prompt"),
    ("default-account-lockdown-complete", Who::Visitor, "ak-stage-prompt"),
    ("enrollment-email", Who::Visitor, "ak-stage-prompt"),
    // Without an invitation.
    ("enrollment-invitation", Who::Visitor, "ak-stage-access-denied"),
    ("login-link", Who::Visitor, "ak-stage-identification"),
    ("login-lockout", Who::Visitor, "ak-stage-identification"),
    ("login-passkey", Who::Visitor, "ak-stage-authenticator-validate"),
    ("login-two-factor", Who::Visitor, "ak-stage-identification"),
    ("recovery-email", Who::Visitor, "ak-stage-identification"),
    ("unenrollment", Who::Administrator, "ak-stage-prompt"),
];

/// Secrets are in no export; whoever imports one brings them along.
const SECRETS: &[(&str, &str)] = &[
    ("captchastage-login-lockout-captcha.private_key", "none"),
    ("authenticatorsmsstage-authenticator-sms-setup.auth", "change-me"),
];

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Visitor,
    Administrator,
}

struct Place {
    core: Arc<Core>,
    _db: TestDb,
}

impl Place {
    /// A site with the default objects and an administrator without password.
    async fn new() -> Self {
        let db = test_db().await;
        let program = env!("CARGO_BIN_EXE_weir").into();
        let options = Options {
            hash_cost: weir_crypto::HashCost::CHEAP,
            expression_worker: WorkerCommand { program, args: vec!["expression-worker".into()] },
            asks_for_pictures: false,
            ..Options::production().unwrap()
        };
        let core = Core::open(&Config::default(), options, db.db()).await.unwrap();
        bootstrap(&core.site, &BootstrapOptions::default()).await.unwrap();
        core.blueprints.apply_all(&core.site).await.unwrap();
        Self { core, _db: db }
    }

    /// What an import leaves empty.
    async fn import(&self, text: &str, overrides: Map) -> Vec<String> {
        let request = Request { text: text.to_owned(), source: Source::Submitted, context: Map::new(), overrides };
        let environment = self.core.blueprints.environment();
        let report = import::apply(&self.core.site, Actor::system(), environment, &request).await.unwrap();
        assert!(report.success, "{:?}\n{text}", report.problems());
        let gaps = report.logs.iter().filter(|line| line.level == "warning").map(|line| line.event.clone()).collect();
        assert_eq!(report.has_gaps, !Vec::is_empty(&gaps), "{gaps:?}");
        gaps
    }

    /// Imports each once. One that names a flow of another says so, and once more after it.
    async fn import_exports(&self, exports: &[String]) {
        let mut open: VecDeque<&String> = exports.iter().collect();
        let mut again = 0;
        while let Some(export) = open.pop_front() {
            let gaps = self.import(export, secrets()).await;
            if gaps.is_empty() {
                continue;
            }
            assert!(gaps.iter().all(|gap| gap.contains("There is no authentik_flows.flow with slug")), "{gaps:?}");
            again += 1;
            assert!(again <= exports.len(), "{gaps:?}");
            open.push_back(export);
        }
    }

    async fn export(&self, slug: &str) -> String {
        let (id, _) = self.flow(slug);
        let flow = Stored::of(&self.core.site.snapshot().find(id).cloned().unwrap());
        export::export_flow(&mut Unit::new(&self.core.site, Actor::system()), &flow).await.unwrap()
    }

    fn flow(&self, slug: &str) -> (uuid::Uuid, Arc<Flow>) {
        self.core.site.snapshot().get_by::<Flow>("slug", slug).unwrap_or_else(|| panic!("no flow {slug}"))
    }

    fn revision(&self) -> i64 {
        self.core.site.snapshot().revision
    }

    /// What a flow asks first.
    async fn first_step(&self, slug: &str, who: Who) -> Value {
        let user = match who {
            Who::Visitor => None,
            Who::Administrator => accounts::find_by_username(&self.core.site.db, "akadmin").await.unwrap(),
        };
        let info = RequestInfo { method: "GET".to_owned(), ..RequestInfo::default() };
        for _ in 0..10 {
            let executor = Executor::new(&self.core.engine, &info, user.clone(), None, self.flow(slug));
            match executor.run("", Input::View).await.unwrap_or_else(|_| panic!("{slug} fails")).reply {
                Reply::Challenge(challenge) => return challenge,
                Reply::ToSelf => {}
            }
        }
        panic!("{slug} does not come to rest");
    }
}

/// The flows an example makes.
fn slugs(text: &str) -> Vec<String> {
    let entries = Document::parse(text).unwrap().entries;
    let flows = entries.iter().filter(|entry| entry.model.as_text() == Some("authentik_flows.flow"));
    let slug = |entry: &weir_blueprints::Entry| {
        let mut names = entry.identifiers.iter();
        let slug = names.find_map(|(name, value)| value.as_text().filter(|_| name.as_text() == Some("slug")));
        slug.unwrap().to_owned()
    };
    flows.map(slug).collect()
}

fn secrets() -> Map {
    SECRETS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_imports_runs_exports_and_imports_to_the_same() {
    let mut run = Vec::new();
    let examples = shipped::FILES.iter().filter(|(path, _)| path.starts_with("example/"));
    for (path, text) in examples {
        let place = Place::new().await;
        assert_eq!(place.import(text, Map::new()).await, [""; 0]);
        let revision = place.revision();
        assert_eq!(place.import(text, Map::new()).await, [""; 0]);
        assert_eq!(place.revision(), revision, "{path}: nothing is written a second time");
        let slugs = slugs(text);
        assert!(!slugs.is_empty(), "{path} makes no flow");
        for slug in &slugs {
            let (_, who, component) =
                FIRST_STEPS.iter().find(|(known, ..)| known == slug).unwrap_or_else(|| panic!("{slug} is not tried"));
            let step = place.first_step(slug, *who).await;
            assert_eq!(step["component"], *component, "{slug}: {step}");
        }
        let mut exports = Vec::new();
        for slug in &slugs {
            exports.push(place.export(slug).await);
        }
        for export in &exports {
            assert_eq!(place.import(export, Map::new()).await, [""; 0]);
        }
        assert_eq!(place.revision(), revision, "{path}: its own export changes nothing");
        let other = Place::new().await;
        other.import_exports(&exports).await;
        for (slug, export) in slugs.iter().zip(&exports) {
            assert_eq!(other.export(slug).await, *export, "{path}: {slug}");
        }
        run.extend(slugs);
    }
    let stale: Vec<_> = FIRST_STEPS.iter().filter(|(slug, ..)| !run.iter().any(|known| known == slug)).collect();
    assert!(stale.is_empty(), "no example makes these flows: {:?}", stale.iter().map(|s| s.0).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_examples_together_in_either_order_are_the_same() {
    let mut texts: Vec<&str> =
        shipped::FILES.iter().filter(|(path, _)| path.starts_with("example/")).map(|(_, text)| *text).collect();
    let slugs: Vec<String> = texts.iter().flat_map(|text| slugs(text)).collect();
    let mut exported: Vec<Vec<String>> = Vec::new();
    for _ in 0..2 {
        let place = Place::new().await;
        for text in &texts {
            assert_eq!(place.import(text, Map::new()).await, [""; 0]);
        }
        let mut exports = Vec::new();
        for slug in &slugs {
            exports.push(place.export(slug).await);
        }
        exported.push(exports);
        texts.reverse();
    }
    let (first, second) = (exported.remove(0), exported.remove(0));
    assert_eq!(first, second);
    for backwards in [false, true] {
        let other = Place::new().await;
        let mut exports = first.clone();
        if backwards {
            exports.reverse();
        }
        other.import_exports(&exports).await;
        for (slug, export) in slugs.iter().zip(&first) {
            assert_eq!(other.export(slug).await, *export, "{slug}");
        }
    }
}
