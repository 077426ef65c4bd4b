//! Providers known by numbers, applications that refer to them, and who may use an application. No HTTP here: the
//! operations are tested where a whole server is at hand.

mod access;
mod providers;

use crate::{Application, provider::BackchannelBase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_core::{ApiError, Family, Ref, Resource, ResourceType, types::RefTarget};
use weir_identity::AnyFlow;
use weir_resource::{HookSet, Stored};
use weir_testkit::{TestSite, Wiring};

/// A provider that people sign in through, without behaviour.
#[derive(Serialize, Deserialize, JsonSchema)]
struct FrontProvider {
    /// Unique among providers.
    #[schemars(length(min = 1))]
    name: String,
    /// Flow that asks for consent.
    authorization_flow: Option<Ref<AnyFlow>>,
}
impl Resource for FrontProvider {
    const MODEL: &'static str = "weir_test.frontprovider";
    const PATH: &'static str = "providers/front";
    const SCHEMA: &'static str = "FrontProvider";
    const VERBOSE: &'static str = "Front Provider";
    const FAMILY: Option<Family> = Some(Family::Provider);
    const PARAM: &'static str = "id";
}
impl RefTarget for FrontProvider {
    const MODEL: &'static str = <Self as Resource>::MODEL;
    const NUMBERED: bool = true;
    type Pk = i64;
}

/// A provider that serves from behind.
#[derive(Serialize, Deserialize, JsonSchema)]
struct BackProvider {
    /// What all of them have.
    #[serde(flatten)]
    base: BackchannelBase,
    /// A provider that gives it tokens.
    #[serde(default)]
    tokens_of: Option<Ref<FrontProvider>>,
}
impl Resource for BackProvider {
    const MODEL: &'static str = "weir_test.backprovider";
    const PATH: &'static str = "providers/back";
    const SCHEMA: &'static str = "BackProvider";
    const VERBOSE: &'static str = "Back Provider";
    const FAMILY: Option<Family> = Some(Family::Provider);
    const PARAM: &'static str = "id";
}

const FRONT: &str = <FrontProvider as Resource>::MODEL;
const BACK: &str = <BackProvider as Resource>::MODEL;
const APPLICATION: &str = <Application as Resource>::MODEL;

async fn site() -> TestSite {
    let mut resources = crate::resources();
    resources.extend([ResourceType::of::<FrontProvider>(), ResourceType::of::<BackProvider>()]);
    let hooks = |set: &mut HookSet| {
        crate::hooks(set);
        set.add(FRONT, Arc::new(crate::provider::ProviderHooks));
        set.add(BACK, Arc::new(crate::provider::ProviderHooks));
    };
    TestSite::new(Wiring { resources, hooks, ..Wiring::default() }).await
}

async fn front(site: &TestSite, name: &str) -> Stored {
    site.try_make(FRONT, json!({"name": name, "authorization_flow": null})).await.unwrap()
}

async fn back(site: &TestSite, name: &str) -> Stored {
    site.try_make(BACK, json!({"name": name})).await.unwrap()
}

fn refused(error: &ApiError, field: &str) -> String {
    let body: Value = error.body();
    body[field][0].as_str().unwrap_or_else(|| panic!("{field} is fine: {body}")).to_owned()
}
