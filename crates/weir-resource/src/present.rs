//! Documents as answers: the key, the fields that may be shown, the read-only fields of the family and the kind.

use crate::{Object, Presenting, Stored, secret_parts};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use weir_core::{ApiError, Family, Map, ResourceType, resource::POLICY_TARGET};

/// The UUID under which policies are bound to an object; differs from its key, and follows from it.
pub fn policy_target_uuid(id: Uuid) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"policy binding target");
    hash.update(id.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// A page of answers.
///
/// # Errors
/// Those of the hooks.
pub async fn present(cx: &Presenting<'_>, rows: &[Stored]) -> Result<Vec<Map>, ApiError> {
    let mut answers: Vec<Map> = rows.iter().map(|row| plain(cx, row)).collect();
    // A page may hold several kinds (`…/all/`); neighbours of one kind go through its hooks together.
    let mut start = 0;
    while let Some(first) = rows.get(start) {
        let same = rows.iter().skip(start).take_while(|r| std::ptr::eq(r.kind, first.kind)).count();
        let (Some(part), Some(out)) = (rows.get(start..start + same), answers.get_mut(start..start + same)) else {
            break;
        };
        for hooks in cx.site.hooks.of(first.kind.model) {
            hooks.present(cx, part, out).await?;
        }
        start += same;
    }
    Ok(answers)
}

/// One answer.
///
/// # Errors
/// Those of the hooks.
pub async fn present_one(cx: &Presenting<'_>, row: &Stored) -> Result<Map, ApiError> {
    let rows = std::slice::from_ref(row);
    Ok(present(cx, rows).await?.into_iter().next().unwrap_or_default())
}

fn plain(cx: &Presenting<'_>, row: &Stored) -> Map {
    let kind = row.kind;
    let mut answer = Map::new();
    answer.insert(kind.pk.to_owned(), row.pk_value());
    for field in kind.fields.iter().filter(|f| !f.write_only) {
        let mut value = row.doc.get(&field.name).cloned().unwrap_or_else(|| field.default.clone());
        secret_parts::hide(kind, &field.name, &mut value);
        answer.insert(field.name.clone(), value);
    }
    let id = Uuid::parse_str(&row.pk).ok();
    // The key of a source is its policy-binding UUID.
    if kind.policy_target
        && kind.family != Some(Family::Source)
        && let Some(id) = id
    {
        answer.insert("policybindingmodel_ptr_id".to_owned(), policy_target_uuid(id).to_string().into());
    }
    match kind.family {
        Some(Family::Stage) => {
            family_fields(&mut answer, kind);
            let flows = flow_set(cx, &row.pk);
            answer.insert("flow_set".to_owned(), flows);
        }
        Some(Family::Policy) => {
            family_fields(&mut answer, kind);
            let bound =
                cx.snapshot.referring(&row.pk).filter(|(_, f)| ["policy", "validation_policies"].contains(f)).count();
            answer.insert("bound_to".to_owned(), bound.into());
        }
        Some(_) if kind.shows_family => family_fields(&mut answer, kind),
        Some(Family::Source | Family::PropertyMapping | Family::Connector | Family::Provider) | None => {}
    }
    answer
}

/// What tells the kinds of a family apart.
pub fn family_fields(answer: &mut Map, kind: &ResourceType) {
    answer.insert("component".to_owned(), kind.component.into());
    answer.insert("verbose_name".to_owned(), kind.verbose_name.into());
    answer.insert("verbose_name_plural".to_owned(), kind.verbose_name_plural().into());
    answer.insert("meta_model_name".to_owned(), kind.model.into());
}

/// The flows a stage is bound to (contract schema `FlowSet`).
fn flow_set(cx: &Presenting<'_>, stage: &str) -> Value {
    let mut flows: Vec<&Object> = cx
        .snapshot
        .referring(stage)
        .filter(|(o, field)| *field == "stage" && o.kind.model == "authentik_flows.flowstagebinding")
        .filter_map(|(o, _)| Uuid::parse_str(o.text("target")).ok())
        .filter_map(|id| cx.snapshot.find(id).map(|o| &**o))
        .collect();
    flows.sort_by(|a, b| a.text("slug").cmp(b.text("slug")));
    flows.dedup_by_key(|f| f.id);
    let shown = flows.into_iter().map(|flow| {
        let text = |field: &str| Value::from(flow.text(field));
        json!({
            "pk": flow.id,
            "policybindingmodel_ptr_id": policy_target_uuid(flow.id),
            "name": text("name"),
            "slug": text("slug"),
            "title": text("title"),
            "designation": text("designation"),
            "background_url": cx.site.background(flow.text("background")),
            "policy_engine_mode": text("policy_engine_mode"),
            "compatibility_mode": flow.doc.get("compatibility_mode").cloned().unwrap_or(Value::Bool(false)),
            "export_url": format!("{}/api/v3/flows/instances/{}/export/", cx.site.prefix, flow.text("slug")),
            "layout": text("layout"),
            "denied_action": text("denied_action"),
        })
    });
    Value::Array(shown.collect())
}

/// Any stage, as target of a reference.
pub struct AnyStage;
impl weir_core::types::RefTarget for AnyStage {
    const MODEL: &'static str = Family::Stage.model();
    type Pk = Uuid;
}

/// Any policy, as target of a reference.
pub struct AnyPolicy;
impl weir_core::types::RefTarget for AnyPolicy {
    const MODEL: &'static str = Family::Policy.model();
    type Pk = Uuid;
}

/// Any source, as target of a reference.
pub struct AnySource;
impl weir_core::types::RefTarget for AnySource {
    const MODEL: &'static str = Family::Source.model();
    type Pk = Uuid;
}

/// Any property mapping, as target of a reference.
pub struct AnyPropertyMapping;
impl weir_core::types::RefTarget for AnyPropertyMapping {
    const MODEL: &'static str = Family::PropertyMapping.model();
    type Pk = Uuid;
}

/// Any connector, as target of a reference.
pub struct AnyConnector;
impl weir_core::types::RefTarget for AnyConnector {
    const MODEL: &'static str = Family::Connector.model();
    type Pk = Uuid;
}

/// Any provider, as target of a reference.
pub struct AnyProvider;
impl weir_core::types::RefTarget for AnyProvider {
    const MODEL: &'static str = Family::Provider.model();
    const NUMBERED: bool = true;
    type Pk = i64;
}

/// Anything that policies can be bound to.
pub struct AnyPolicyTarget;
impl weir_core::types::RefTarget for AnyPolicyTarget {
    const MODEL: &'static str = POLICY_TARGET;
    type Pk = Uuid;
}
