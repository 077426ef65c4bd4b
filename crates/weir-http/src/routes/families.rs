//! `stages/all/`, `policies/all/`, `sources/all/`, `propertymappings/all/`, `providers/all/`: all kinds of a family in one list.

use crate::{
    Access, Call, Reply, Route, call,
    rest::{self, read::referring_to},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use weir_core::{ApiError, Family, Map, ResourceType, validate};
use weir_identity::{Account, User, accounts, kind};
use weir_resource::{Object, Stored, Unit, Visible, family_fields, store};

const STAGE: &str = Family::Stage.model();
const POLICY: &str = Family::Policy.model();
const SOURCE: &str = Family::Source.model();
const MAPPING: &str = Family::PropertyMapping.model();
const CONNECTOR: &str = Family::Connector.model();
const PROVIDER: &str = Family::Provider.model();

/// Fields of the contract's `Stage`.
const STAGE_FIELDS: [&str; 7] =
    ["pk", "name", "component", "verbose_name", "verbose_name_plural", "meta_model_name", "flow_set"];
/// Fields of the contract's `Policy`.
const POLICY_FIELDS: [&str; 8] = [
    "pk",
    "name",
    "execution_logging",
    "component",
    "verbose_name",
    "verbose_name_plural",
    "meta_model_name",
    "bound_to",
];

/// Fields of the contract's `Source`.
const SOURCE_FIELDS: [&str; 20] = [
    "pk",
    "name",
    "slug",
    "enabled",
    "promoted",
    "authentication_flow",
    "enrollment_flow",
    "user_property_mappings",
    "group_property_mappings",
    "component",
    "verbose_name",
    "verbose_name_plural",
    "policy_engine_mode",
    "user_matching_mode",
    "managed",
    "user_path_template",
    "icon",
    "icon_url",
    "icon_themed_urls",
    "meta_model_name",
];
/// Fields of the contract's `PropertyMapping`.
const MAPPING_FIELDS: [&str; 8] =
    ["pk", "managed", "name", "expression", "component", "verbose_name", "verbose_name_plural", "meta_model_name"];
/// Fields of the contract's `Connector`.
const CONNECTOR_FIELDS: [&str; 7] =
    ["connector_uuid", "name", "enabled", "component", "verbose_name", "verbose_name_plural", "meta_model_name"];

/// Fields of the contract's `Provider`.
const PROVIDER_FIELDS: [&str; 14] = [
    "pk",
    "name",
    "authentication_flow",
    "authorization_flow",
    "invalidation_flow",
    "property_mappings",
    "component",
    "assigned_application_slug",
    "assigned_application_name",
    "assigned_backchannel_application_slug",
    "assigned_backchannel_application_name",
    "verbose_name",
    "verbose_name_plural",
    "meta_model_name",
];

/// Kinds that can be made but are not offered: they only help in tests.
const NOT_OFFERED: [&str; 2] = ["authentik_stages_dummy.dummystage", "authentik_policies_dummy.dummypolicy"];

/// Forms in which people change what a stage keeps for them; the second says whether a flow must be set for it.
const USER_SETTINGS: [(&str, &str, bool); 8] = [
    ("authentik_stages_password.passwordstage", "ak-user-settings-password", true),
    ("authentik_stages_authenticator_totp.authenticatortotpstage", "ak-user-settings-authenticator-totp", false),
    ("authentik_stages_authenticator_static.authenticatorstaticstage", "ak-user-settings-authenticator-static", false),
    ("authentik_stages_authenticator_sms.authenticatorsmsstage", "ak-user-settings-authenticator-sms", false),
    ("authentik_stages_authenticator_email.authenticatoremailstage", "ak-user-settings-authenticator-email", false),
    ("authentik_stages_authenticator_duo.authenticatorduostage", "ak-user-settings-authenticator-duo", false),
    (
        "authentik_stages_authenticator_webauthn.authenticatorwebauthnstage",
        "ak-user-settings-authenticator-webauthn",
        false,
    ),
    (
        "authentik_stages_authenticator_endpoint_gdtc.authenticatorendpointgdtcstage",
        "ak-user-settings-authenticator-endpoint-gdtc",
        false,
    ),
];

pub(super) fn routes() -> Vec<Route> {
    let (stage, policy) = (Access::Seen { model: STAGE }, Access::Seen { model: POLICY });
    let connector = Access::Seen { model: CONNECTOR };
    let provider = Access::Seen { model: PROVIDER };
    let (source, mapping) = (Access::Seen { model: SOURCE }, Access::Seen { model: MAPPING });
    vec![
        Route::new("stages_all_list", Access::ByKind, |call| list(call, Family::Stage)),
        Route::new("stages_all_retrieve", stage, retrieve),
        Route::new("stages_all_destroy", stage, destroy),
        Route::new("stages_all_used_by_list", stage, used_by),
        Route::new("stages_all_types_list", Access::SignedIn, |call| types(call, Family::Stage)),
        Route::new("stages_all_user_settings_list", Access::SignedIn, user_settings),
        Route::new("policies_all_list", Access::ByKind, |call| list(call, Family::Policy)),
        Route::new("policies_all_retrieve", policy, retrieve),
        Route::new("policies_all_destroy", policy, destroy),
        Route::new("policies_all_used_by_list", policy, used_by),
        Route::new("policies_all_types_list", Access::SignedIn, |call| types(call, Family::Policy)),
        Route::new("sources_all_list", Access::ByKind, |call| list(call, Family::Source)),
        Route::new("sources_all_retrieve", source, retrieve),
        Route::new("sources_all_destroy", source, destroy),
        Route::new("sources_all_used_by_list", source, used_by),
        Route::new("sources_all_types_list", Access::SignedIn, |call| types(call, Family::Source)),
        Route::new("propertymappings_all_list", Access::ByKind, |call| list(call, Family::PropertyMapping)),
        Route::new("propertymappings_all_retrieve", mapping, retrieve),
        Route::new("propertymappings_all_destroy", mapping, destroy),
        Route::new("propertymappings_all_used_by_list", mapping, used_by),
        Route::new("propertymappings_all_types_list", Access::SignedIn, |call| types(call, Family::PropertyMapping)),
        Route::new("endpoints_connectors_list", Access::ByKind, |call| list(call, Family::Connector)),
        Route::new("endpoints_connectors_retrieve", connector, retrieve),
        Route::new("endpoints_connectors_destroy", connector, destroy),
        Route::new("endpoints_connectors_used_by_list", connector, used_by),
        Route::new("endpoints_connectors_types_list", Access::SignedIn, |call| types(call, Family::Connector)),
        Route::new("providers_all_list", Access::ByKind, |call| list(call, Family::Provider)),
        Route::new("providers_all_retrieve", provider, retrieve),
        Route::new("providers_all_destroy", provider, destroy),
        Route::new("providers_all_used_by_list", provider, used_by),
        Route::new("providers_all_types_list", Access::SignedIn, |call| types(call, Family::Provider)),
        Route::new("policies_all_test_create", policy, test),
        Route::new("policies_geoip_iso3166_list", Access::Public, countries),
        Route::new(
            "policies_all_cache_info_retrieve",
            Access::Global("authentik_policies.view_policy_cache"),
            cache_info,
        ),
        Route::new(
            "policies_all_cache_clear_create",
            Access::Global("authentik_policies.clear_policy_cache"),
            cache_clear,
        ),
    ]
}

/// What the caller sees of several kinds as one answer; none without any right.
fn visible(
    call: &Call,
    unit: &Unit<'_>,
    family: Family,
    kinds: &[&'static ResourceType],
) -> Result<Option<Visible>, ApiError> {
    let mut seen = Vec::new();
    let (mut all, mut any) = (true, false);
    for kind in kinds {
        match call.visible_in(family, kind)? {
            Some(Visible::All) => {
                any = true;
                seen.extend(unit.snapshot.of_model(kind.model).map(|o| o.pk()));
            }
            Some(Visible::Some { keys, .. }) => {
                (any, all) = (true, false);
                seen.extend(keys);
            }
            None => all = false,
        }
    }
    // Documents of these kinds have no owner.
    let some = Visible::Some { owner: -1, keys: seen };
    Ok(any.then_some(if all { Visible::All } else { some }))
}

async fn list(call: Call, family: Family) -> Result<Reply, ApiError> {
    let app = Arc::clone(&call.app);
    let unit = Unit::new(&app.site, call.actor());
    let kinds = app.site.registry.family(family);
    let visible = visible(&call, &unit, family, &kinds)?.ok_or_else(ApiError::forbidden)?;
    let visible = narrow(&call, &unit, &kinds, visible)?;
    let kinds = manageable(&call, kinds, family)?;
    let page = unit.list_family(&kinds, &call.list_query(), &visible)?;
    let shown = shown(&call, &unit, &page.rows, family).await?;
    Ok(Reply::ok(&page.body(shown)))
}

/// The server manages no mappings of kinds that do not say so: who asks for managed ones gets none of these.
fn manageable(
    call: &Call,
    mut kinds: Vec<&'static ResourceType>,
    family: Family,
) -> Result<Vec<&'static ResourceType>, ApiError> {
    let asked = call.request.parameter("managed").is_some() || call.flag("managed__isnull")? == Some(false);
    if family == Family::PropertyMapping && asked {
        kinds.retain(|kind| kind.find_field("managed").is_some());
    }
    Ok(kinds)
}

/// Filters by what refers to an object: policies nobody uses (`bindings__isnull`, `promptstage__isnull`), providers
/// without application, and providers of the other channel.
fn narrow(
    call: &Call,
    unit: &Unit<'_>,
    kinds: &[&'static ResourceType],
    visible: Visible,
) -> Result<Visible, ApiError> {
    let mut wanted: Option<BTreeSet<String>> = None;
    let is_provider = kinds.iter().any(|kind| kind.family == Some(Family::Provider));
    for parameter in ["bindings__isnull", "promptstage__isnull", "application__isnull", "backchannel"] {
        let Some(value) = call.flag(parameter)? else { continue };
        let refers =
            |object: &Object, field: &str| unit.snapshot.referring(&object.id.to_string()).any(|(_, by)| by == field);
        let fits = |object: &Object| match parameter {
            "bindings__isnull" => refers(object, "policy") != value,
            "promptstage__isnull" => refers(object, "validation_policies") != value,
            "application__isnull" => (refers(object, "provider") || refers(object, "backchannel_providers")) != value,
            _ => (object.kind.find_field("authorization_flow").is_none()) == value,
        };
        if is_provider != matches!(parameter, "application__isnull" | "backchannel") {
            continue;
        }
        let objects = kinds.iter().flat_map(|k| unit.snapshot.of_model(k.model));
        let fitting = objects.filter(|object| fits(object)).map(|object| object.pk()).collect();
        wanted = Some(match wanted {
            Some(before) => before.intersection(&fitting).cloned().collect(),
            None => fitting,
        });
    }
    let Some(wanted) = wanted else { return Ok(visible) };
    let keys = match visible {
        Visible::All => wanted.into_iter().collect(),
        Visible::Some { keys, .. } => keys.into_iter().filter(|k| wanted.contains(k)).collect(),
    };
    Ok(Visible::Some { owner: -1, keys })
}

async fn shown(call: &Call, unit: &Unit<'_>, rows: &[Stored], family: Family) -> Result<Vec<Map>, ApiError> {
    let mut answers = rest::show(call, unit, rows).await?;
    for (row, answer) in rows.iter().zip(&mut answers) {
        family_fields(answer, row.kind);
        keep_shared(answer, family);
    }
    Ok(answers)
}

/// Leaves of an answer what all kinds of the family have.
pub fn keep_shared(answer: &mut Map, family: Family) {
    let fields: &[&str] = match family {
        Family::Stage => &STAGE_FIELDS,
        Family::Policy => &POLICY_FIELDS,
        Family::Source => &SOURCE_FIELDS,
        Family::PropertyMapping => &MAPPING_FIELDS,
        Family::Connector => &CONNECTOR_FIELDS,
        Family::Provider => &PROVIDER_FIELDS,
    };
    if family == Family::Provider {
        // What a kind does not have is null where all kinds are shown alike.
        for field in PROVIDER_FIELDS.into_iter().filter(|field| *field != "property_mappings") {
            answer.entry(field).or_insert(Value::Null);
        }
    }
    answer.retain(|field, _| fields.contains(&field.as_str()));
}

async fn retrieve(call: Call) -> Result<Reply, ApiError> {
    let app = Arc::clone(&call.app);
    let unit = Unit::new(&app.site, call.actor());
    let object = call.target()?;
    let family = object.kind.family.unwrap_or(Family::Stage);
    let shown = shown(&call, &unit, std::slice::from_ref(object), family).await?;
    Ok(Reply::ok(&shown.into_iter().next().unwrap_or_default()))
}

/// Refuses who may see an object but not do this with it.
fn allow(call: &Call, object: &Stored, action: &str) -> Result<(), ApiError> {
    if call.may_in_family(action, object) { Ok(()) } else { Err(ApiError::forbidden()) }
}

async fn destroy(call: Call) -> Result<Reply, ApiError> {
    let object = call.target()?;
    allow(&call, object, "delete")?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    unit.delete(object.kind, &object.pk).await?;
    unit.commit().await?;
    Ok(Reply::none())
}

async fn used_by(call: Call) -> Result<Reply, ApiError> {
    let mut unit = Unit::new(&call.app.site, call.actor());
    referring_to(&call, &mut unit, call.target()?).await
}

async fn types(call: Call, family: Family) -> Result<Reply, ApiError> {
    let mut kinds = call.app.site.registry.family(family);
    kinds.retain(|kind| kind.operations.create && !NOT_OFFERED.contains(&kind.model));
    kinds.sort_by_key(|kind| kind.verbose_name);
    let offered: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "name": kind.verbose_name,
                "description": kind.help,
                "component": kind.component,
                "model_name": kind.model_name(),
                "requires_enterprise": false,
                "deprecated": false,
            })
        })
        .collect();
    Ok(Reply::ok(&offered))
}

async fn user_settings(call: Call) -> Result<Reply, ApiError> {
    let mut found = Vec::new();
    for (model, component, needs_flow) in USER_SETTINGS {
        for stage in call.snapshot.of_model(model) {
            let has_flow = stage.doc.get("configure_flow").is_some_and(|flow| !flow.is_null());
            if needs_flow && !has_flow {
                continue;
            }
            let title = Some(stage.text("friendly_name")).filter(|t| !t.is_empty()).unwrap_or(stage.kind.verbose_name);
            let mut entry = json!({"object_uid": stage.id, "component": component, "title": title});
            if has_flow && let Some(entry) = entry.as_object_mut() {
                let prefix = call.app.config.prefix();
                entry.insert("configure_url".to_owned(), format!("{prefix}/flows/-/configure/{}/", stage.id).into());
            }
            found.push(entry);
        }
    }
    Ok(Reply::ok(&found))
}

/// A policy on trial.
#[derive(Deserialize, JsonSchema)]
struct TestBody {
    /// The user the policy is asked about.
    #[schemars(extend("format" = "int64"))]
    user: i64,
    /// What the policy finds in its context.
    #[serde(default)]
    context: Map,
}

/// A user named in a body, if the caller may see that user.
///
/// # Errors
/// 400 otherwise; those of the store.
pub(crate) async fn seen_user(call: &Call, id: i64) -> Result<Account, ApiError> {
    let pk = id.to_string();
    let sees = call.visible(kind::<User>(&call.app.site)?)?.is_some_and(|visible| match visible {
        Visible::All => true,
        Visible::Some { keys, .. } => keys.contains(&pk),
    });
    let user = if sees { accounts::find(&call.app.site.db, id).await.map_err(store)? } else { None };
    user.ok_or_else(|| ApiError::field("user", validate::invalid_pk(&json!(id))))
}

/// Trying a policy runs its code, so it takes the right to change it.
async fn test(mut call: Call) -> Result<Reply, ApiError> {
    allow(&call, call.target()?, "change")?;
    let object = call.object().await?;
    let body: TestBody = call::parse(&object)?;
    let user = seen_user(&call, body.user).await?;
    let result = call.app.policies.test(&call, call.target()?, &user, body.context).await?;
    Ok(Reply::ok(&result))
}

async fn countries(_call: Call) -> Result<Reply, ApiError> {
    let all = weir_policy::geoip::countries::countries();
    let codes: Vec<&str> = all.iter().map(|(code, _)| *code).collect();
    Ok(Reply::ok(&weir_policy::geoip::countries::described(&codes)))
}

async fn cache_info(call: Call) -> Result<Reply, ApiError> {
    Ok(Reply::ok(&json!({"count": call.app.policies.cached()})))
}

async fn cache_clear(call: Call) -> Result<Reply, ApiError> {
    call.app.policies.clear();
    Ok(Reply::none())
}
