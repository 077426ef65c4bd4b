//! Every operation against its rule: unauthenticated and without permission. `objects` goes on from there.
//! What is expected follows from the routes and definitions, so that new operations join by themselves.

use serde_json::{Value, json};
use weir_contract::{Method, Operation, operations};
use weir_core::{Reach, ResourceType};
use weir_http::Access;

use super::stand::Stand;

/// Anybody may make these for themselves; platform rules, not permissions.
pub const OPEN_CREATE: [&str; 2] = ["core_tokens_create", "sources_user_connections_oauth_create"];

pub fn served(stand: &Stand) -> Vec<(&'static Operation, Access)> {
    operations().iter().filter_map(|operation| Some((operation, stand.app.api.access(operation)?))).collect()
}

/// A path with this in place of its first parameter and something else in place of the others.
pub fn filled(path: &str, first: &str) -> String {
    let mut values = [first].into_iter();
    let segments = path.split('/').map(|segment| {
        if !segment.starts_with('{') {
            return segment.to_owned();
        }
        match values.next() {
            Some(first) => percent(first),
            None => "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11".to_owned(),
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Addresses may hold whatever a name holds.
pub fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

pub fn body(operation: &Operation) -> Option<Value> {
    matches!(operation.method, Method::Post | Method::Put | Method::Patch).then(|| json!({}))
}

/// The kind whose generic operation this is, as it is seen at this address.
pub fn generic(stand: &Stand, operation: &Operation) -> Option<&'static ResourceType> {
    let registry = &stand.core.site.registry;
    registry.all().chain(registry.views()).find(|kind| {
        let collection = format!("/{}/", kind.path);
        let item = format!("{collection}{{{}}}/", kind.param);
        [collection, item.clone(), format!("{item}used_by/")].iter().any(|path| path == operation.path)
    })
}

/// Whether somebody without any permission sees the objects of their own at this address.
pub fn shows_own(kind: &ResourceType) -> bool {
    kind.reach == Reach::Own || (kind.owner.is_some() && kind.reach == Reach::Granted)
}

/// What somebody without any permission must be answered; none where the handler decides by what is asked.
fn without_permission(stand: &Stand, operation: &'static Operation, access: Access) -> Option<u16> {
    let owned = |model: &str| stand.core.site.registry.find(model).is_some_and(shows_own);
    match access {
        Access::Public | Access::OwnCredentials | Access::SignedIn => None,
        Access::Global(_) => Some(403),
        Access::Object { model, .. } | Access::Seen { model } => Some(if owned(model) { 404 } else { 403 }),
        Access::ByKind => match generic(stand, operation) {
            Some(_) if OPEN_CREATE.contains(&operation.id) => Some(400),
            Some(kind) if shows_own(kind) && operation.path.contains('{') => Some(404),
            Some(kind) if shows_own(kind) && operation.method == Method::Get => Some(200),
            _ => Some(403),
        },
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_reaches_what_the_contract_opens_and_nothing_else() {
    let stand = Stand::start_unjudged().await;
    let all = served(&stand);
    assert!(all.len() > 400, "only {} operations are served", all.len());
    for (operation, access) in all {
        let path = filled(operation.path, "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11");
        for key in [None, Some("nonsense")] {
            let answer = stand.ask(key, operation.method, &path, body(operation)).await;
            let refused = answer.status == 403
                && answer.body["detail"].as_str().is_some_and(|text| {
                    text == "Authentication credentials were not provided." || text == "Token invalid/expired"
                });
            match (access, key) {
                (Access::Public, None) => {
                    assert!(operation.public, "{} is open, but not in the contract", operation.id);
                    // What a handler refuses here it refuses for another reason.
                    assert!(answer.status < 500, "{} answers {}", operation.id, answer.status);
                }
                // These have credentials of their own kind.
                (Access::OwnCredentials, _) => {
                    assert!((400..500).contains(&answer.status), "{} answers {}", operation.id, answer.status);
                }
                // A wrong key is refused, never passed over.
                _ => assert!(refused, "{} answers {} {}", operation.id, answer.status, answer.body),
            }
        }
    }
}

#[tokio::test]
async fn without_permission_every_operation_answers_what_its_rule_says() {
    let stand = Stand::start_unjudged().await;
    let user = stand.person("plain").await;
    let mut wrong = Vec::new();
    for (operation, access) in served(&stand) {
        // Ends the very credentials that ask.
        if operation.id == "core_authenticated_sessions_bulk_delete_destroy" {
            continue;
        }
        let path = filled(operation.path, "6c1a6a3e-6d0e-4a3f-9c0f-0d4e9c7d1f11");
        let answer = stand.ask(Some(&user.key), operation.method, &path, body(operation)).await;
        let fits = match without_permission(&stand, operation, access) {
            Some(expected) => answer.status == expected,
            None => answer.status < 500 || answer.status == 501,
        };
        if !fits {
            wrong.push(format!("{} ({access:?}) answers {} {}", operation.id, answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
