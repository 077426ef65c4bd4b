//! What the engine knows of sources: how a browser begins to sign in with one. The kinds themselves stand above the
//! engine and register here, so that stages need to know none of them.

pub mod resume;

use crate::{
    App, PlanContext, media,
    planner::{Planning, ask, summary},
    receipt::Receipt,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;
use weir_core::ApiError;
use weir_identity::Account;
use weir_policy::{Engine, RequestInfo, engine::Mode};
use weir_resource::{Object, Snapshot, Unit};

/// A kind of source that a browser can sign in with.
pub trait SourceKind: Send + Sync {
    /// The challenge that sends a browser off; none while the source cannot be used.
    fn login(&self, app: &App, source: &Object) -> Option<Value>;
}

/// Kinds by model: an explicit list, one line per kind. What is missing here, like directories, is not for browsers.
#[derive(Clone, Default)]
pub struct SourceKinds(BTreeMap<&'static str, Arc<dyn SourceKind>>);

impl SourceKinds {
    /// Adds a kind.
    #[must_use]
    pub fn with(mut self, model: &'static str, kind: impl SourceKind + 'static) -> Self {
        self.0.insert(model, Arc::new(kind));
        self
    }

    /// The kind of a model.
    pub fn find(&self, model: &str) -> Option<&Arc<dyn SourceKind>> {
        self.0.get(model)
    }
}

/// A button to sign in with a source (contract schema `LoginSource`).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LoginSource {
    /// Name for people.
    pub name: String,
    /// Address of its picture.
    pub icon_url: Option<String>,
    /// Stands out.
    pub promoted: bool,
    /// What happens when it is chosen.
    pub challenge: Value,
}

/// The button of a source; none when it is gone, switched off, or not for browsers.
pub fn button(app: &App, snapshot: &Snapshot, source: Uuid) -> Option<LoginSource> {
    let object = snapshot.find(source)?;
    let flag = |field: &str| object.doc.get(field) == Some(&Value::Bool(true));
    let kind = app.sources.find(object.kind.model).filter(|_| flag("enabled"))?;
    let challenge = kind.login(app, object)?;
    let icon = Some(object.text("icon")).filter(|icon| !icon.is_empty());
    Some(LoginSource {
        name: object.text("name").to_owned(),
        icon_url: icon.map(|icon| media::address(&app.site, icon)),
        promoted: flag("promoted"),
        challenge,
    })
}

/// Asks the policies bound to a source whether it may be used; with what they say.
///
/// # Errors
/// Those of the store.
pub async fn admits(
    app: &App,
    unit: &mut Unit<'_>,
    request: &RequestInfo,
    (source, mode): (Uuid, Mode),
    user: Option<&Account>,
    context: &PlanContext,
) -> Result<(bool, Vec<String>), ApiError> {
    let mut events = Vec::new();
    let mut receipt = Receipt::new(source, source, "", app.site.clock.now());
    let target = summary(&unit.snapshot, source);
    let mut wishes = Vec::new();
    let mut planning =
        Planning { unit, request, user, events: &mut events, wishes: &mut wishes, receipt: &mut receipt };
    let mut context = context.clone();
    let engine = Engine::new(source, mode);
    let (result, _) = ask(app, &mut planning, &engine, target, &mut context, user, false).await?;
    weir_policy::carry_out(unit, wishes).await?;
    for event in events {
        unit.event(event).await?;
    }
    Ok((result.passing, result.messages))
}
