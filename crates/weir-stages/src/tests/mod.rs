//! The engine with real stages, driven through the executor without HTTP.

mod endings;
mod execution;
mod expressions;
mod inspector;
mod links;
mod planning;
mod policies;
mod races;
mod restarts;
pub(crate) mod service;
mod setup;
mod tokens;

use serde_json::Value;
use weir_testkit::{TestSite, Wiring};

/// A site that serves all kinds of this crate.
pub(crate) async fn site() -> TestSite {
    let wiring =
        Wiring { resources: crate::resources(), hooks: crate::hooks, stages: crate::kinds(), ..Wiring::default() };
    TestSite::new(wiring).await
}

/// The same with a worker that runs expressions.
pub(crate) async fn site_with_worker() -> TestSite {
    let wiring = Wiring {
        resources: crate::resources(),
        hooks: crate::hooks,
        stages: crate::kinds(),
        worker: Some(TestSite::worker()),
        ..Wiring::default()
    };
    TestSite::new(wiring).await
}

/// Component of a challenge.
pub(crate) fn component(challenge: &Value) -> &str {
    challenge["component"].as_str().unwrap_or_default()
}

/// Asserts the end of a flow at this address.
#[track_caller]
pub(crate) fn assert_end(challenge: &Value, to: &str) {
    assert_eq!(component(challenge), "xak-flow-redirect", "{challenge}");
    assert_eq!(challenge["to"], to, "{challenge}");
    assert_eq!(challenge["final_redirect"], true, "{challenge}");
}

/// Asserts a denial with this message.
#[track_caller]
pub(crate) fn assert_denied(challenge: &Value, message: &str) {
    assert_eq!(component(challenge), "ak-stage-access-denied", "{challenge}");
    assert_eq!(challenge["error_message"], message, "{challenge}");
}

/// The only error of a field, as `(text, code)`.
#[track_caller]
pub(crate) fn error<'c>(challenge: &'c Value, field: &str) -> (&'c str, &'c str) {
    let errors = &challenge["response_errors"][field];
    assert_eq!(errors.as_array().map(Vec::len), Some(1), "{challenge}");
    (errors[0]["string"].as_str().unwrap(), errors[0]["code"].as_str().unwrap())
}
