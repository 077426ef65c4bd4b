//! Every operation with a permission on one object, and as owner of one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_contract::{Method, Operation, operations};
use weir_core::{Reach, ResourceType};
use weir_http::Access;
use weir_identity::Grants;
use weir_resource::Stored;

use super::{
    rights::{OPEN_CREATE, body, filled, generic, percent, served},
    stand::{Person, Stand},
};

/// Kinds that these tests cannot make an object of. The list may only get shorter.
const NOT_MADE: [&str; 22] = [
    // Made by jobs for their owners.
    "authentik_events.notification",
    "authentik_reports.dataexport",
    // Certificates and keys are real ones.
    "authentik_crypto.certificatekeypair",
    "authentik_providers_google_workspace.googleworkspaceprovider",
    // Expressions are compiled by a worker, which these tests do without.
    "authentik_events.notificationwebhookmapping",
    "authentik_policies_expression.expressionpolicy",
    "authentik_providers_google_workspace.googleworkspaceprovidermapping",
    "authentik_providers_microsoft_entra.microsoftentraprovidermapping",
    "authentik_providers_scim.scimmapping",
    "authentik_sources_oauth.oauthsourcepropertymapping",
    // Connections of a sync belong to providers of their kind; weir-sync has tests of its own for them.
    "authentik_providers_google_workspace.googleworkspaceprovidergroup",
    "authentik_providers_google_workspace.googleworkspaceprovideruser",
    "authentik_providers_microsoft_entra.microsoftentraprovidergroup",
    "authentik_providers_microsoft_entra.microsoftentraprovideruser",
    // Scores are counted by sign-ins.
    "authentik_policies_reputation.reputation",
    // Devices are set up by their owners; weir-http has tests of their own for them.
    "authentik_stages_authenticator_duo.duodevice",
    "authentik_stages_authenticator_email.emaildevice",
    "authentik_stages_authenticator_endpoint_gdtc.endpointdevice",
    "authentik_stages_authenticator_sms.smsdevice",
    "authentik_stages_authenticator_static.staticdevice",
    "authentik_stages_authenticator_totp.totpdevice",
    "authentik_stages_authenticator_webauthn.webauthndevice",
];

/// What an object is called in addresses.
fn address(object: &Stored) -> String {
    match object.kind.lookup {
        "pk" => object.pk.clone(),
        field => object.text(field).to_owned(),
    }
}

/// Two objects of a kind that others own.
async fn pair(stand: &Stand, kind: &'static ResourceType, owner: i64) -> Result<(Stored, Stored), String> {
    Ok((stand.sample(kind, owner, 0).await?, stand.sample(kind, owner, 0).await?))
}

#[tokio::test]
async fn a_permission_on_one_object_opens_that_object_and_no_other() {
    let stand = Stand::start_unjudged().await;
    let other = stand.person("other").await;
    let mut by_kind: BTreeMap<&str, Vec<(&'static Operation, Access, &'static ResourceType)>> = BTreeMap::new();
    for (operation, access) in served(&stand) {
        let kind = match access {
            Access::ByKind => generic(&stand, operation),
            Access::Object { model, .. } | Access::Seen { model } => stand.core.site.registry.find(model),
            _ => None,
        };
        if let Some(kind) = kind.filter(|kind| kind.reach != Reach::Own) {
            by_kind.entry(kind.model).or_default().push((operation, access, kind));
        }
    }
    assert!(by_kind.len() > 40, "only {} kinds have operations", by_kind.len());
    let (mut wrong, mut not_made) = (Vec::new(), Vec::new());
    for (model, operations) in by_kind {
        let kind = stand.core.site.registry.find(model).unwrap();
        let (mine, theirs) = match pair(&stand, kind, other.id).await {
            Ok(pair) => pair,
            Err(reason) => {
                not_made.push(format!("{model}: {reason}"));
                continue;
            }
        };
        let user = stand.person(&format!("u-{}", model.replace('.', "-"))).await;
        stand.grant(user.id, &[&kind.permission("view")], Some(&mine)).await;
        for (operation, access, seen_as) in operations {
            check_one(&stand, &user, (operation, access, seen_as), (&mine, &theirs), &mut wrong).await;
        }
        check_writes(&stand, &user, kind, (&mine, &theirs), &mut wrong).await;
    }
    not_made.retain(|text| !NOT_MADE.iter().any(|model| text.starts_with(&format!("{model}:"))));
    assert!(
        wrong.is_empty() && not_made.is_empty(),
        "{wrong:#?}\nno object of these kinds could be made: {not_made:#?}"
    );
}

/// One operation by somebody who may view one object.
async fn check_one(
    stand: &Stand,
    user: &Person,
    (operation, access, kind): (&'static Operation, Access, &'static ResourceType),
    (mine, theirs): (&Stored, &Stored),
    wrong: &mut Vec<String>,
) {
    let ask = |first: String| {
        let path = filled(operation.path, &first);
        async move { stand.ask(Some(&user.key), operation.method, &path, body(operation)).await }
    };
    let reads = operation.method == Method::Get;
    if !operation.path.contains('{') {
        let expected = if reads { 200 } else { 403 };
        let answer = ask(String::new()).await;
        if answer.status != expected && !OPEN_CREATE.contains(&operation.id) {
            wrong.push(format!("{}: {} instead of {expected}", operation.id, answer.status));
        } else if reads && generic(stand, operation).is_some() {
            let rows = answer.body["results"].as_array().cloned().unwrap_or_default();
            let has = |object: &Stored| rows.iter().any(|row| row[kind.pk] == object.pk_value());
            // The token that asks is the caller's own.
            let alone = kind.owner.is_some() || answer.body["pagination"]["count"] == 1;
            if !has(mine) || has(theirs) || !alone {
                wrong.push(format!("{}: {} objects are listed", operation.id, answer.body["pagination"]["count"]));
            }
        }
        return;
    }
    let answer = ask(address(theirs)).await;
    if answer.status != 404 {
        wrong.push(format!("{} on an object that is not seen: {}", operation.id, answer.status));
    }
    let answer = ask(address(mine)).await;
    let fits = match access {
        Access::ByKind if reads => answer.status == 200,
        Access::ByKind | Access::Object { .. } => answer.status == 403 || is_view(access, kind),
        // Handlers of these ask for more; that the object is there is no secret.
        _ => answer.status != 404 && (answer.status < 500 || answer.status == 501),
    };
    if !fits {
        wrong.push(format!("{} with the right to view: {} {}", operation.id, answer.status, answer.body));
    }
}

fn is_view(access: Access, kind: &ResourceType) -> bool {
    matches!(access, Access::Object { permission, .. } if permission == kind.permission("view"))
}

/// Changing and deleting with the right to, on that object alone.
async fn check_writes(
    stand: &Stand,
    user: &Person,
    kind: &'static ResourceType,
    (mine, theirs): (&Stored, &Stored),
    wrong: &mut Vec<String>,
) {
    let item = |object: &Stored| format!("/{}/{}/", kind.path, percent(&address(object)));
    let is_family = kind.family.is_some_and(|family| family.path() == kind.path);
    if kind.reach != Reach::Granted || is_family {
        return;
    }
    stand.grant(user.id, &[&kind.permission("change"), &kind.permission("delete")], Some(mine)).await;
    if kind.operations.update {
        let answer = stand.patch(user, &item(mine), json!({})).await;
        if ![200, 400].contains(&answer.status) {
            wrong.push(format!("{} is not changed: {} {}", kind.model, answer.status, answer.body));
        }
        let answer = stand.patch(user, &item(theirs), json!({})).await;
        if answer.status != 404 {
            wrong.push(format!("another {} is changed: {}", kind.model, answer.status));
        }
    }
    if kind.operations.destroy {
        let answer = stand.delete(user, &item(theirs)).await;
        if answer.status != 404 {
            wrong.push(format!("another {} is deleted: {}", kind.model, answer.status));
        }
        let answer = stand.delete(user, &item(mine)).await;
        if answer.status != 204 {
            wrong.push(format!("{} is not deleted: {} {}", kind.model, answer.status, answer.body));
        }
        let left = stand.core.site.find_many(kind, std::slice::from_ref(&theirs.pk)).await.unwrap();
        if left.is_empty() {
            wrong.push(format!("another {} went with it", kind.model));
        }
    }
}

#[tokio::test]
async fn an_owner_sees_and_changes_the_own_objects_and_cannot_give_them_away() {
    let stand = Stand::start_unjudged().await;
    let (owner, other) = (stand.person("owner").await, stand.person("other").await);
    let before: Grants = stand.grants(owner.id).await;
    let kinds: Vec<_> = stand.core.site.registry.all().filter(|kind| kind.owner.is_some()).collect();
    assert!(kinds.len() >= 8, "only {} kinds have owners", kinds.len());
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for kind in kinds {
        // Whose an invitation is follows from who makes it; one of the server's own is nobody's.
        if kind.model == "authentik_stages_invitation.invitation" {
            continue;
        }
        let listed = format!("/{}/", kind.path);
        let known = operations().iter().find(|o| o.path == listed && o.method == Method::Get);
        if kind.reach == Reach::Permitted || !known.is_some_and(|o| stand.app.api.is_served(o.id)) {
            continue;
        }
        let pair = (stand.sample(kind, owner.id, 0).await, stand.sample(kind, other.id, 0).await);
        let (mine, theirs) = match pair {
            (Ok(mine), Ok(theirs)) => (mine, theirs),
            (Err(reason), _) | (_, Err(reason)) => {
                if !NOT_MADE.contains(&kind.model) {
                    wrong.push(format!("no {} can be made: {reason}", kind.model));
                }
                continue;
            }
        };
        seen.insert(kind.model);
        let item = |object: &Stored| format!("{listed}{}/", percent(&address(object)));
        let list = stand.get(&owner, &listed).await;
        let names: Vec<String> = match &list.body["results"] {
            Value::Array(rows) => rows.iter().map(|row| row[kind.pk].to_string().replace('"', "")).collect(),
            _ => Vec::new(),
        };
        if list.status != 200 || !names.contains(&mine.pk) || names.contains(&theirs.pk) {
            wrong.push(format!("{} lists {names:?} ({})", kind.model, list.status));
        }
        for (object, expected) in [(&mine, 200), (&theirs, 404)] {
            let answer = stand.get(&owner, &item(object)).await;
            if answer.status != expected {
                wrong.push(format!("{} is shown with {} instead of {expected}", kind.model, answer.status));
            }
        }
        check_owner(&stand, (&owner, other.id), kind, (&mine, &theirs), &item, &mut wrong).await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen.len() >= 5, "{seen:?}");
    assert_eq!(stand.grants(owner.id).await, before);
}

async fn check_owner(
    stand: &Stand,
    (owner, other): (&Person, i64),
    kind: &'static ResourceType,
    (mine, theirs): (&Stored, &Stored),
    item: &impl Fn(&Stored) -> String,
    wrong: &mut Vec<String>,
) {
    let field = kind.owner.unwrap_or_default();
    if kind.operations.update {
        let answer = stand.patch(owner, &item(mine), json!({field: other})).await;
        if ![200, 400].contains(&answer.status) {
            wrong.push(format!("{}: its owner is answered {} {}", kind.model, answer.status, answer.body));
        }
        let now = stand.core.site.find_many(kind, std::slice::from_ref(&mine.pk)).await.unwrap();
        if now.first().is_none_or(|now| now.doc.get(field) != Some(&owner.id.into())) {
            wrong.push(format!("{}: the owner changed", kind.model));
        }
        let answer = stand.patch(owner, &item(theirs), json!({})).await;
        if answer.status != 404 {
            wrong.push(format!("{}: somebody else's is changed with {}", kind.model, answer.status));
        }
    }
    if kind.operations.destroy {
        let answer = stand.delete(owner, &item(theirs)).await;
        if answer.status != 404 {
            wrong.push(format!("{}: somebody else's is deleted with {}", kind.model, answer.status));
        }
        let answer = stand.delete(owner, &item(mine)).await;
        if answer.status != 204 {
            wrong.push(format!("{}: its owner deletes it with {} {}", kind.model, answer.status, answer.body));
        }
    }
}
