//! Rules of applications that look at other objects, and the read-only fields of their answers.

use super::launch_url;
use crate::provider;
use async_trait::async_trait;
use serde_json::Value;
use weir_core::{ApiError, Family, Map};
use weir_flow::media;
use weir_identity::accounts;
use weir_resource::{Hooks, Object, Presenting, Stored, Unit, present_one, store};

/// See [`Application`](super::Application).
pub struct ApplicationHooks;

async fn shown_provider(cx: &Presenting<'_>, provider: &Object) -> Result<Value, ApiError> {
    let mut shown = present_one(cx, &Stored::of(provider)).await?;
    weir_http::keep_shared(&mut shown, Family::Provider);
    Ok(Value::Object(shown))
}

/// Numbers in a field of an application.
fn numbers(doc: &Map, field: &str) -> Vec<i64> {
    match doc.get(field) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_i64).collect(),
        Some(value) => value.as_i64().into_iter().collect(),
        None => Vec::new(),
    }
}

#[async_trait]
impl Hooks for ApplicationHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, _old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let is_backchannel = |number: &i64| {
            provider::find(&unit.snapshot, *number).is_some_and(|object| provider::is_backchannel(object.kind))
        };
        if numbers(new, "provider").iter().any(is_backchannel) {
            let text = "Nobody signs in through this provider; it belongs to the backchannel providers.";
            return Err(ApiError::field("provider", text));
        }
        let behind = numbers(new, "backchannel_providers");
        if !behind.iter().all(is_backchannel) {
            let text = "A provider that people sign in through cannot serve an application from behind.";
            return Err(ApiError::field("backchannel_providers", text));
        }
        Ok(())
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let sql = "DELETE FROM identity_consent WHERE application_id = $1";
        unit.tx.write(sql, &[old.pk.clone().into()]).await.map_err(store)?;
        Ok(())
    }

    async fn present(&self, cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
        let user = match cx.user_id {
            Some(id) if rows.iter().any(|row| row.text("meta_launch_url").contains('%')) => {
                accounts::find(&cx.site.db, id).await.map_err(store)?
            }
            _ => None,
        };
        for (row, answer) in rows.iter().zip(answers) {
            // Policies are bound to an application by its own key.
            answer.remove("policybindingmodel_ptr_id");
            answer.insert("pbm_uuid".to_owned(), row.pk_value());
            let icon = row.text("meta_icon");
            let address = Some(icon).filter(|icon| !icon.is_empty()).map(|icon| media::address(cx.site, icon));
            answer.insert("meta_icon_url".to_owned(), address.map_or(Value::Null, Value::from));
            answer.insert("meta_icon_themed_urls".to_owned(), media::themed(cx.site, icon));
            let url = launch_url(row.text("meta_launch_url"), user.as_ref(), &cx.site.installation.id);
            answer.insert("launch_url".to_owned(), url.map_or(Value::Null, Value::from));
            let mut shown = Vec::new();
            for number in numbers(&row.doc, "backchannel_providers") {
                if let Some(object) = provider::find(cx.snapshot, number) {
                    shown.push(shown_provider(cx, object).await?);
                }
            }
            answer.insert("backchannel_providers_obj".to_owned(), Value::Array(shown));
            let front = numbers(&row.doc, "provider").first().and_then(|number| provider::find(cx.snapshot, *number));
            let front = match front {
                Some(object) => shown_provider(cx, object).await?,
                None => Value::Null,
            };
            answer.insert("provider_obj".to_owned(), front);
        }
        Ok(())
    }
}
