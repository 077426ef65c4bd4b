//! Every action of the contract: where it is emitted, or why it is not.

use std::{fs, path::Path};

use weir_http::ACTIONS;

/// Where an action is written.
enum Where {
    /// This file names it like this.
    In(&'static str, &'static str),
    /// Clients and expressions write it; nothing of ours happens that it would tell of.
    Not(&'static str),
}
use Where::{In, Not};

const KNOWN: &[(&str, Where)] = &[
    ("login", In("weir-stages/src/user_login/stage.rs", "action::LOGIN")),
    ("login_failed", In("weir-stages/src/password/stage.rs", "action::LOGIN_FAILED")),
    ("logout", In("weir-stages/src/user_logout/stage.rs", "action::LOGOUT")),
    ("user_write", In("weir-stages/src/user_write/stage.rs", "action::USER_WRITE")),
    ("user_offboarded", Not("there is no offboarding yet")),
    ("suspicious_request", In("weir-identity/src/token/revoked.rs", "action::SUSPICIOUS_REQUEST")),
    ("password_set", In("weir-stages/src/user_write/stage.rs", "action::PASSWORD_SET")),
    ("secret_view", In("weir-identity/src/token/mint.rs", "action::SECRET_VIEW")),
    ("secret_rotate", In("weir-identity/src/token/rotate.rs", "action::SECRET_ROTATE")),
    ("invitation_used", In("weir-stages/src/invitation/stage.rs", "action::INVITATION_USED")),
    ("authorize_application", Not("applications are authorised by providers of OAuth 2 and SAML, which come later")),
    ("source_linked", In("weir-sources/src/connect.rs", "action::SOURCE_LINKED")),
    ("impersonation_started", In("weir-http/src/routes/user_actions.rs", "action::IMPERSONATION_STARTED")),
    ("impersonation_ended", In("weir-http/src/routes/user_actions.rs", "action::IMPERSONATION_ENDED")),
    ("flow_execution", Not("each run of a flow leaves a receipt instead")),
    ("policy_execution", In("weir-policy/src/engine.rs", "action::POLICY_EXECUTION")),
    ("policy_exception", In("weir-policy/src/engine.rs", "action::POLICY_EXCEPTION")),
    ("property_mapping_exception", In("weir-audit/src/webhook.rs", "PROPERTY_MAPPING_EXCEPTION")),
    ("system_task_execution", Not("each task has its own log")),
    ("system_task_exception", In("weir/src/server/jobs.rs", "action::SYSTEM_TASK_EXCEPTION")),
    ("system_exception", In("weir-flow/src/executor/steps.rs", "action::SYSTEM_EXCEPTION")),
    ("configuration_error", In("weir-stages/src/email/stage.rs", "action::CONFIGURATION_ERROR")),
    ("configuration_warning", In("weir/src/server/jobs.rs", "action::CONFIGURATION_WARNING")),
    ("model_created", In("weir-resource/src/unit.rs", "action::MODEL_CREATED")),
    ("model_updated", In("weir-resource/src/unit.rs", "action::MODEL_UPDATED")),
    ("model_deleted", In("weir-resource/src/unit.rs", "action::MODEL_DELETED")),
    ("email_sent", In("weir-mail/src/deliver.rs", "action::EMAIL_SENT")),
    ("update_available", Not("Weir does not ask anybody about newer versions")),
    ("export_ready", In("weir-audit/src/export.rs", "action::EXPORT_READY")),
    ("review_initiated", Not("there are no reviews yet")),
    ("review_overdue", Not("there are no reviews yet")),
    ("review_attested", Not("there are no reviews yet")),
    ("review_completed", Not("there are no reviews yet")),
    ("access_request_created", Not("there are no access requests yet")),
    ("access_request_approved", Not("there are no access requests yet")),
    ("access_request_denied", Not("there are no access requests yet")),
    ("access_request_revoked", Not("there are no access requests yet")),
    ("custom_", In("weir-policy/src/expression/functions.rs", "custom_")),
];

#[test]
fn every_action_of_the_contract_is_emitted_or_says_why_not() {
    let known: Vec<&str> = KNOWN.iter().map(|(action, _)| *action).collect();
    assert_eq!(known, ACTIONS.map(|(action, _)| action), "the list is that of the contract");
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let crates = Path::new(&manifest).parent().unwrap();
    for (action, emitted) in KNOWN {
        match emitted {
            In(file, name) => {
                let text = fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains(name), "{action} is not emitted by {file}");
            }
            Not(why) => assert!(!why.is_empty()),
        }
    }
}
