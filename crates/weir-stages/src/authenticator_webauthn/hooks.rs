//! Read-only fields that show models of authenticators.

use super::{AuthenticatorWebAuthnStage, WebAuthnDeviceType};
use crate::authenticator_validate::AuthenticatorValidateStage;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use weir_core::{ApiError, Map, Resource};
use weir_identity::device::DeviceKind;
use weir_resource::{Condition, HookSet, Hooks, Presenting, Site, Stored, store};
use weir_store::Val;

/// Puts the hooks in place.
pub fn hooks(set: &mut HookSet) {
    set.add(AuthenticatorWebAuthnStage::MODEL, Arc::new(Listed("device_type_restrictions")));
    set.add(AuthenticatorValidateStage::MODEL, Arc::new(Listed("webauthn_allowed_device_types")));
    set.add(DeviceKind::WebAuthn.model(), Arc::new(OfDevice));
    set.add(WebAuthnDeviceType::MODEL, Arc::new(Types));
}

/// Models by number, as the API shows them.
async fn shown(cx: &Presenting<'_>, numbers: &[&str]) -> Result<BTreeMap<String, Value>, ApiError> {
    let mut found = BTreeMap::new();
    for part in numbers.chunks(500) {
        let vals: Vec<Val> = part.iter().map(|number| Val::from(*number)).collect();
        let marks: Vec<String> = (1..=vals.len()).map(|at| format!("${at}")).collect();
        let sql =
            format!("SELECT aaguid, description FROM webauthn_device_type WHERE aaguid IN ({})", marks.join(", "));
        for row in cx.site.db.read(&sql, &vals).await.map_err(store)? {
            let (aaguid, description) = (row.text("aaguid").map_err(store)?, row.text("description").map_err(store)?);
            found.insert(aaguid.clone(), json!({"aaguid": aaguid, "description": description}));
        }
    }
    Ok(found)
}

/// `<field>_obj` beside a list of models.
struct Listed(&'static str);

impl Listed {
    fn numbers<'d>(&self, doc: &'d Map) -> impl Iterator<Item = &'d str> {
        doc.get(self.0).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

#[async_trait]
impl Hooks for Listed {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let mut all: Vec<&str> = rows.iter().flat_map(|row| self.numbers(&row.doc)).collect();
        all.sort_unstable();
        all.dedup();
        let known = shown(cx, &all).await?;
        for (row, answer) in rows.iter().zip(answers) {
            let own: Vec<Value> = self.numbers(&row.doc).filter_map(|number| known.get(number).cloned()).collect();
            answer.insert(format!("{}_obj", self.0), own.into());
        }
        Ok(())
    }
}

/// `device_type` of a credential.
struct OfDevice;

#[async_trait]
impl Hooks for OfDevice {
    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let mut types = BTreeMap::new();
        for part in rows.chunks(500) {
            let vals: Vec<Val> = part.iter().map(|row| row.int_pk().into()).collect();
            let marks: Vec<String> = (1..=vals.len()).map(|at| format!("${at}")).collect();
            let sql = format!(
                "SELECT d.id, t.aaguid, t.description FROM identity_device_webauthn d \
                 JOIN webauthn_device_type t ON t.aaguid = d.device_type WHERE d.id IN ({})",
                marks.join(", ")
            );
            for row in cx.site.db.read(&sql, &vals).await.map_err(store)? {
                let (aaguid, description) = (row.text("aaguid").map_err(store)?, row.text("description"));
                let shown = json!({"aaguid": aaguid, "description": description.map_err(store)?});
                types.insert(row.int("id").map_err(store)?, shown);
            }
        }
        for (row, answer) in rows.iter().zip(answers) {
            answer.insert("device_type".to_owned(), types.remove(&row.int_pk()).unwrap_or_default());
        }
        Ok(())
    }
}

/// The list itself.
struct Types;

#[async_trait]
impl Hooks for Types {
    fn filter(&self, _site: &Site, name: &str, value: &str) -> Result<Option<Condition>, ApiError> {
        Ok((name == "icon").then(|| Condition::new("icon = ?", vec![value.into()])))
    }
}
