//! A site for tests: the real kinds of users, flows and stages on a fresh database.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;
use weir_core::{Clock, Expression, Family, Map, Random, Ref, Registry, Resource, ResourceType, resource::UuidKeyed};
use weir_crypto::password::HashCost;
use weir_crypto::pool::HashPool;
use weir_resource::{Actor, HookSet, Site, SiteParts, Stored, Unit};
use weir_store::test_support::{TestDb, test_db};

use crate::accounts::IdentityAccounts;
use crate::discover::Library;
use crate::import::{self, Accounts, Environment, Report, Request};
use crate::instances::{BlueprintInstance, InstanceHooks};
use crate::tags::Source;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-05-01T12:00:00Z").unwrap().with_timezone(&Utc)
    }
}

struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let block: [u8; 32] = sha2::Sha256::digest(number.to_le_bytes()).into();
            part.iter_mut().zip(block).for_each(|(to, from)| *to = from);
        }
    }
}

/// Stands for the real kind: what its expression says does not matter here.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct ExpressionPolicy {
    #[schemars(length(min = 1))]
    name: String,
    #[serde(default)]
    execution_logging: bool,
    expression: Expression,
}

impl UuidKeyed for ExpressionPolicy {}
impl Resource for ExpressionPolicy {
    const MODEL: &'static str = "authentik_policies_expression.expressionpolicy";
    const PATH: &'static str = "policies/expression";
    const SCHEMA: &'static str = "ExpressionPolicy";
    const VERBOSE: &'static str = "Expression Policy";
    const FAMILY: Option<Family> = Some(Family::Policy);
}

/// Stands for the mappings of the outgoing sync, which the shipped blueprints make.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct SyncMapping<const KIND: usize> {
    #[schemars(length(min = 1))]
    name: String,
    #[serde(default)]
    managed: Option<String>,
    expression: Expression,
}

impl<const KIND: usize> UuidKeyed for SyncMapping<KIND> {}
impl<const KIND: usize> Resource for SyncMapping<KIND> {
    const MODEL: &'static str = [
        "authentik_providers_scim.scimmapping",
        "authentik_providers_google_workspace.googleworkspaceprovidermapping",
        "authentik_providers_microsoft_entra.microsoftentraprovidermapping",
    ][KIND];
    const PATH: &'static str = ["mappings/scim", "mappings/google", "mappings/entra"][KIND];
    const SCHEMA: &'static str = "SyncMapping";
    const VERBOSE: &'static str = "Mapping";
    const FAMILY: Option<Family> = Some(Family::PropertyMapping);
}

/// The model of stages that ask for a second factor.
pub(crate) const VALIDATE: &str = "authentik_stages_authenticator_validate.authenticatorvalidatestage";

/// A kind whose objects may refer to each other in a circle.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct CircleStage {
    #[schemars(length(min = 1))]
    name: String,
    /// May lead back to itself.
    #[serde(default)]
    next: Option<Ref<CircleStage>>,
}

impl UuidKeyed for CircleStage {}
impl Resource for CircleStage {
    const MODEL: &'static str = "weir_tests.circlestage";
    const PATH: &'static str = "stages/circle";
    const SCHEMA: &'static str = "CircleStage";
    const VERBOSE: &'static str = "Circle Stage";
    const FAMILY: Option<Family> = Some(Family::Stage);
}

/// Which kinds a site serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// One less than this build: no stage that asks for a second factor.
    Fewer,
    /// Those of this build.
    Served,
    /// One more than this build.
    More,
}

/// A site, what blueprints need besides, and shortcuts.
pub(crate) struct TestSite {
    pub(crate) site: Arc<Site>,
    pub(crate) library: Library,
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) db: TestDb,
}

pub(crate) async fn test_site() -> TestSite {
    open(test_db().await, Library::new(None), Kinds::Served, 0).await
}

/// A site on an existing database, as after a restart.
pub(crate) async fn open(db: TestDb, library: Library, kinds: Kinds, seed: u64) -> TestSite {
    let hashes = HashPool::with_cost(1, 100, Duration::from_secs(60), HashCost::CHEAP).unwrap();
    let accounts: Arc<dyn Accounts> = Arc::new(IdentityAccounts { hashes: Arc::new(hashes) });
    let mut types = weir_identity::resources();
    types.extend(weir_flow::resources::resources());
    types.extend(weir_stages::resources());
    types.push(ResourceType::of::<weir_policy::PolicyBinding>());
    types.push(ResourceType::of::<ExpressionPolicy>());
    types.push(ResourceType::of::<SyncMapping<0>>());
    types.push(ResourceType::of::<SyncMapping<1>>());
    types.push(ResourceType::of::<SyncMapping<2>>());
    types.push(ResourceType::of::<BlueprintInstance>());
    match kinds {
        Kinds::Fewer => types.retain(|kind| kind.model != VALIDATE),
        Kinds::Served => {}
        Kinds::More => types.push(ResourceType::of::<CircleStage>()),
    }
    let mut hooks = HookSet::default();
    weir_identity::hooks(&mut hooks);
    let instance_hooks = InstanceHooks::new(library.clone(), Arc::clone(&accounts));
    hooks.add(BlueprintInstance::MODEL, Arc::new(instance_hooks));
    let parts = SiteParts {
        db: db.db(),
        registry: Registry::new(types),
        hooks,
        clock: Arc::new(Noon),
        random: Arc::new(Counting(AtomicU64::new(seed))),
        prefix: String::new(),
    };
    let site = Site::open(parts).await.unwrap();
    TestSite { site, library, accounts, db }
}

impl TestSite {
    pub(crate) fn environment(&self) -> Environment<'_> {
        Environment { library: &self.library, accounts: &*self.accounts }
    }

    pub(crate) async fn apply(&self, text: &str) -> Report {
        self.apply_with(text, Map::new()).await
    }

    pub(crate) async fn apply_with(&self, text: &str, context: Map) -> Report {
        let request =
            Request { text: text.to_owned(), source: Source::Submitted, context: Map::new(), overrides: context };
        import::apply(&self.site, Actor::system(), self.environment(), &request).await.unwrap()
    }

    /// Applies what must succeed.
    pub(crate) async fn good(&self, text: &str) -> Report {
        let report = self.apply(text).await;
        assert!(report.success, "{:?}\n{text}", report.problems());
        report
    }

    /// Applies what must be refused; gives the one problem.
    pub(crate) async fn bad(&self, text: &str) -> String {
        let report = self.apply(text).await;
        assert!(!report.success, "{text}");
        assert_eq!(report.problems().len(), 1);
        report.problems().remove(0)
    }

    pub(crate) async fn find(&self, model: &str, field: &str, value: impl Into<Value>) -> Option<Stored> {
        let kind = self.site.registry.find(model).unwrap();
        let mut unit = Unit::new(&self.site, Actor::system());
        crate::lookup::find(&mut unit, kind, &[(field, &value.into())]).await.unwrap()
    }

    pub(crate) async fn get(&self, model: &str, field: &str, value: impl Into<Value>) -> Stored {
        self.find(model, field, value).await.unwrap()
    }
}
