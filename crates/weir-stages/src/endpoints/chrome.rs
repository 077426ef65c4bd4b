//! The connector to managed Chrome browsers: the endpoint stage puts a step into its place that has Google vouch for the
//! browser, which then is one of the connector's devices.

use super::{EndpointDevice, agent, stage};
use crate::{
    authenticator_endpoint_gdtc::{FrameChallenge, FrameResponse, Proof, UNVERIFIED, page_address},
    mtls::StageMode,
};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::{ApiError, Family, FieldErrors, Map, Resource, resource::UuidKeyed};
use weir_flow::{Outcome, Reject, Stage, StageCx, Step, View};
use weir_resource::{Hooks, Presenting, Stored, Unit};

/// Who told the facts.
pub(super) const VENDOR: &str = "chrome.google.com";

fn yes() -> bool {
    true
}

/// Connects devices by the managed Chrome browsers on them, for which Google vouches.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GoogleChromeConnector {
    /// Name of the connector.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Whether browsers are verified.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Key file of a service account that may use the Verified Access API. Its private key is not given back; without
    /// a new one it stays.
    pub credentials: Map,
}

impl UuidKeyed for GoogleChromeConnector {}
impl Resource for GoogleChromeConnector {
    const MODEL: &'static str = "authentik_endpoints_connectors_google_chrome.googlechromeconnector";
    const PATH: &'static str = "endpoints/google_chrome/connectors";
    const SCHEMA: &'static str = "GoogleChromeConnector";
    const VERBOSE: &'static str = "Google Device Trust Connector";
    const COMPONENT: &'static str = "ak-endpoints-connector-gdtc-form";
    const FAMILY: Option<Family> = Some(Family::Connector);
    const PK: &'static str = "connector_uuid";
    const PARAM: &'static str = "connector_uuid";
    const KEY_IS_CHOSEN: bool = true;
    const SECRET_PARTS: &'static [(&'static str, &'static str)] = &[("credentials", "private_key")];
}

/// See [`GoogleChromeConnector`].
pub struct ChromeHooks;

#[async_trait]
impl Hooks for ChromeHooks {
    async fn present(&self, cx: &Presenting<'_>, _rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        // Where administrators let browsers announce themselves.
        let url = page_address(cx.base_url, &cx.site.prefix);
        for answer in answers {
            answer.insert("chrome_url".to_owned(), url.clone().into());
        }
        Ok(())
    }
}

/// Stands in the place of the endpoint stage until the browser proved itself.
pub struct ChromeStep;

/// What the step waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChromeWait {
    /// The connector.
    pub connector: Uuid,
    /// The stage's mode.
    pub mode: StageMode,
}

impl ChromeStep {
    /// The step for a connector of this kind that is on.
    pub(super) fn find(cx: &StageCx<'_>, connector: Uuid, mode: StageMode) -> Option<Box<Step>> {
        cx.unit.snapshot.get::<GoogleChromeConnector>(connector).filter(|connector| connector.enabled)?;
        let config = json!(ChromeWait { connector, mode });
        Some(Box::new(Step::in_memory(cx.app.site.random.uuid(), Self::MODEL, config)))
    }
}

#[async_trait]
impl Stage for ChromeStep {
    const MODEL: &'static str = "weir_stages.chrome_connector";
    type Config = ChromeWait;
    type Challenge = FrameChallenge;
    type Response = FrameResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &ChromeWait) -> Result<View<FrameChallenge>, Reject> {
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let is_on = snapshot.get::<GoogleChromeConnector>(config.connector).is_some_and(|connector| connector.enabled);
        if !is_on {
            return Ok(View::Done(stage::unless_required(config.mode, stage::BAD_CONFIGURATION)));
        }
        Ok(View::Ask(FrameChallenge::new(cx)))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &ChromeWait,
        _response: FrameResponse,
    ) -> Result<Outcome, Reject> {
        // The answer says nothing by itself (S-FLOW-1).
        let (now, snapshot) = (cx.now(), Arc::clone(&cx.unit.snapshot));
        let is_known = |id: &Uuid| snapshot.get::<EndpointDevice>(*id).is_some_and(|device| device.is_current(now));
        let proof = Proof::take(cx).and_then(|proof| Some((proof.device.filter(is_known)?, proof)));
        match (proof, config.mode) {
            (Some((device, proof)), _) => {
                proof.note(cx);
                Ok(stage::Endpoints::accept(cx, device))
            }
            (None, StageMode::Optional) => Ok(Outcome::Next),
            (None, StageMode::Required) => Err(Reject::Invalid(FieldErrors::general(UNVERIFIED))),
        }
    }
}

/// Makes the device of a browser that Google vouches for, or brings it up to date. `host` is the name that Google gives
/// it.
///
/// # Errors
/// Those of the store.
pub(crate) async fn seen(
    unit: &mut Unit<'_>,
    connector: Uuid,
    (host, name): (&str, &str),
    info: &Map,
) -> Result<Uuid, ApiError> {
    // First of all, so that a device is not made twice at once.
    unit.lock_configuration().await?;
    // A name of its own, so that no agent passes for a browser and no browser for an agent.
    let device = agent::device(unit, &format!("{VENDOR}/{host}"), name, None).await?;
    agent::keep_told(unit, &device, connector, &facts(info)).await?;
    Uuid::parse_str(&device).map_err(|error| ApiError::from(anyhow::Error::new(error)))
}

/// What Google said, in the words of the contract's `DeviceFacts`.
fn facts(info: &Map) -> Value {
    let text = |name: &str| info.get("deviceSignals")?.get(name)?.as_str().filter(|text| !text.is_empty());
    let family = match text("operatingSystem") {
        Some("WINDOWS") => "windows",
        Some("MAC_OS_X") => "mac_os",
        Some("LINUX" | "CHROME_OS" | "CHROMIUM_OS") => "linux",
        _ => "other",
    };
    let part = |fields: [(&str, Option<&str>); 3]| {
        let told = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into())));
        Value::Object(told.collect())
    };
    let os = [("family", Some(family)), ("name", text("operatingSystem")), ("version", text("osVersion"))];
    let mut facts = Map::from_iter([("os".to_owned(), part(os)), ("vendor".to_owned(), Value::Object(info.clone()))]);
    if let Some(serial) = text("serialNumber") {
        let hardware =
            [("serial", Some(serial)), ("model", text("deviceModel")), ("manufacturer", text("deviceManufacturer"))];
        facts.insert("hardware".to_owned(), part(hardware));
    }
    Value::Object(facts)
}
