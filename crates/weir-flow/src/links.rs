//! Ways into a flow that do not begin with a visit of its page: default flows, execute, configure, recovery links,
//! the first-run set-up.

use crate::{
    App, Challenge, Designation, Flow, NotApplicable, Outcome, Plan, PlanContext, Planner, RedirectChallenge, Reject,
    Stage, StageCx, View, confirm, keys,
    keys::PendingUser,
    mail::{LinkMail, MailError, Reader},
    planner::{Planning, ask, summary},
    receipt::Receipt,
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;
use weir_core::ApiError;
use weir_identity::{Account, accounts, brand::Brand, token};
use weir_policy::{Engine, RequestInfo, carry_out};
use weir_resource::{Unit, store};

/// Stage without a row that sends the browser elsewhere; expressions insert it by `flow_plan.redirect(url)`.
pub struct RedirectStep;

impl RedirectStep {
    /// Model of the kind.
    pub const MODEL: &'static str = "weir_flow.redirect";
}

/// Where to.
#[derive(Deserialize)]
pub struct RedirectConfig {
    to: String,
}

/// Clients answer a redirect when they come back.
#[derive(Deserialize, JsonSchema)]
pub struct RedirectResponse {}

#[async_trait]
impl Stage for RedirectStep {
    const MODEL: &'static str = Self::MODEL;
    type Config = RedirectConfig;
    type Challenge = RedirectChallenge;
    type Response = RedirectResponse;

    async fn view(&self, _cx: &mut StageCx<'_>, config: &RedirectConfig) -> Result<View<RedirectChallenge>, Reject> {
        debug_assert_eq!(RedirectChallenge::COMPONENT, "xak-flow-redirect");
        Ok(View::Ask(RedirectChallenge { to: config.to.clone(), final_redirect: false }))
    }

    async fn answer(
        &self,
        _cx: &mut StageCx<'_>,
        _config: &RedirectConfig,
        _response: RedirectResponse,
    ) -> Result<Outcome, Reject> {
        Ok(Outcome::Next)
    }
}

/// The step that sends the browser to an address.
pub fn redirect_step(app: &App, to: &str) -> crate::Step {
    crate::Step::in_memory(app.site.random.uuid(), RedirectStep::MODEL, json!({"to": to}))
}

/// A flow by slug.
pub fn find_flow(unit: &Unit<'_>, slug: &str) -> Option<(Uuid, Arc<Flow>)> {
    unit.snapshot.get_by::<Flow>("slug", slug)
}

/// The flow that serves a purpose here: the brand's (policies not asked), else the first of the designation by slug
/// whose policies pass for the visitor.
///
/// # Errors
/// Those of the store.
pub async fn default_flow(
    app: &App,
    unit: &mut Unit<'_>,
    request: &RequestInfo,
    user: Option<&Account>,
    designation: Designation,
) -> Result<Option<String>, ApiError> {
    let brand = request.brand.and_then(|id| unit.snapshot.get::<Brand>(id));
    let wanted = brand.and_then(|brand| match designation {
        Designation::Authentication => brand.flow_authentication.clone(),
        Designation::Invalidation => brand.flow_invalidation.clone(),
        Designation::Recovery => brand.flow_recovery.clone(),
        Designation::Unenrollment => brand.flow_unenrollment.clone(),
        _ => None,
    });
    if let Some(flow) = wanted.and_then(|r| unit.snapshot.get::<Flow>(r.uuid())) {
        return Ok(Some(flow.slug.0.clone()));
    }
    let mut flows: Vec<(Uuid, Arc<Flow>)> =
        unit.snapshot.all::<Flow>().into_iter().filter(|(_, f)| f.designation == designation).collect();
    flows.sort_by(|a, b| a.1.slug.0.cmp(&b.1.slug.0));
    for (id, flow) in flows {
        let mut events = Vec::new();
        let mut receipt = Receipt::new(id, id, &flow.slug.0, app.site.clock.now());
        // A look at what applies: nothing is done for it.
        let mut wishes = Vec::new();
        let mut planning =
            Planning { unit, request, user, events: &mut events, wishes: &mut wishes, receipt: &mut receipt };
        let engine = Engine::new(id, flow.policy_engine_mode);
        let target = summary(&planning.unit.snapshot, id);
        let mut context = PlanContext::default();
        let (result, _) = ask(app, &mut planning, &engine, target, &mut context, user, false).await?;
        if result.passing {
            return Ok(Some(flow.slug.0.clone()));
        }
    }
    Ok(None)
}

/// How a flow is planned outside its page.
pub struct PlanRequest<'a> {
    /// Key of the flow.
    pub flow_id: Uuid,
    /// The flow.
    pub flow: &'a Flow,
    /// The request.
    pub request: &'a RequestInfo,
    /// The request's user; none to plan as an anonymous visitor.
    pub user: Option<&'a Account>,
    /// Starting context.
    pub context: PlanContext,
    /// A flow without stages is an answer.
    pub allow_empty: bool,
    /// The plan goes into a flow token.
    pub for_token: bool,
}

/// Plans a flow without cache.
///
/// # Errors
/// When it does not apply.
pub async fn plan(app: &App, unit: &mut Unit<'_>, wish: PlanRequest<'_>) -> Result<Plan, NotApplicable> {
    let now = app.site.clock.now();
    let mut events = Vec::new();
    let mut receipt = Receipt::new(app.site.random.uuid(), wish.flow_id, &wish.flow.slug.0, now);
    let planner = Planner {
        app,
        flow_id: wish.flow_id,
        flow: wish.flow,
        use_cache: false,
        allow_empty: wish.allow_empty,
        for_token: wish.for_token,
    };
    let mut wishes = Vec::new();
    let mut planning = Planning {
        unit,
        request: wish.request,
        user: wish.user,
        events: &mut events,
        wishes: &mut wishes,
        receipt: &mut receipt,
    };
    let plan = planner.plan(&mut planning, wish.context).await;
    carry_out(unit, wishes).await?;
    for event in events {
        unit.event(event).await?;
    }
    plan
}

/// A context that is about one user.
pub fn about(user: i64) -> PlanContext {
    let mut context = PlanContext::default();
    context.set(keys::PENDING_USER, &PendingUser::Known(user));
    context
}

/// A way back into an account.
#[derive(Debug)]
pub struct RecoveryLink {
    /// Slug of the flow it leads into.
    pub slug: String,
    /// Key of its token.
    pub key: String,
}

impl RecoveryLink {
    /// The query of the flow's page.
    pub fn query(&self) -> String {
        format!("flow_token={}", self.key)
    }
}

/// Makes a link by which a user gets back into their account: the brand's recovery flow, planned for nobody signed in,
/// behind a flow token whose key stays the same when the link is renewed. A link that is mailed must survive programs
/// that look at links: it is used up by confirming it, not by opening it.
///
/// # Errors
/// 400 without a recovery flow, or when it does not apply.
pub async fn recovery_link(
    app: &App,
    unit: &mut Unit<'_>,
    request: &RequestInfo,
    target: &Account,
    expires: DateTime<Utc>,
    for_mail: bool,
) -> Result<RecoveryLink, ApiError> {
    let brand = request.brand.and_then(|id| unit.snapshot.get::<Brand>(id));
    let flow = brand.and_then(|b| b.flow_recovery.clone()).and_then(|r| {
        let id = r.uuid();
        Some((id, unit.snapshot.get::<Flow>(id)?))
    });
    let Some((flow_id, flow)) = flow else { return Err(ApiError::general("No recovery flow set.")) };
    let wish = PlanRequest {
        flow_id,
        flow: &flow,
        request,
        user: None,
        context: about(target.id),
        allow_empty: true,
        for_token: true,
    };
    let mut plan = match plan(app, unit, wish).await {
        Ok(plan) => plan,
        Err(NotApplicable::Failed(error)) => return Err(error),
        Err(_) => return Err(ApiError::general("Recovery flow not applicable to user")),
    };
    if for_mail {
        confirm::put_in_front(app, &mut plan, None);
    }
    let new = token::NewFlowToken {
        identifier: format!("{}-password-reset", target.uid(&app.site.installation.id)),
        user_id: target.id,
        epoch: Some(target.security_epoch),
        flow_id,
        plan: json!(plan).to_string(),
        expires,
        revoke_on_execution: !for_mail,
    };
    accounts::lock_for(unit, target.id).await?;
    let minted = token::mint_flow_token(&mut unit.tx, &*app.site.random, app.site.clock.now(), &new).await;
    let key = minted.map_err(store)?.ok_or_else(ApiError::not_found)?;
    Ok(RecoveryLink { slug: flow.slug.0.clone(), key })
}

/// The part of a stage that says which mail it sends.
#[derive(Deserialize)]
struct MailStage {
    subject: String,
    template: String,
}

/// Mails a user the way back into their account, as an e-mail stage would.
///
/// # Errors
/// As [`recovery_link`]; 400 when the stage is none that sends mail, or its template is broken.
pub async fn mail_recovery_link(
    app: &App,
    unit: &mut Unit<'_>,
    request: &RequestInfo,
    target: &Account,
    stage: Uuid,
    life: TimeDelta,
) -> Result<(), ApiError> {
    let found = unit.snapshot.find(stage).map(|object| Value::Object(object.doc.clone()));
    let found = found.and_then(|doc| MailStage::deserialize(doc).ok());
    let Some(mail) = found else { return Err(ApiError::general("Email stage not found.")) };
    let expires = app.site.clock.now() + life;
    let link = recovery_link(app, unit, request, target, expires, true).await?;
    let sent = LinkMail {
        stage,
        template: &mail.template,
        subject: &mail.subject,
        reader: Reader { account: Some(target), name: &target.name, address: Some(&target.email) },
        url: app.flow_link(&unit.snapshot.settings, request, &link.slug, &link.query()),
        key: link.key,
        lifetime: life,
        expires,
    };
    match sent.post(app, unit, request).await {
        Ok(()) => Ok(()),
        Err(MailError::Failed(error)) => Err(error),
        Err(MailError::Template(error)) => Err(ApiError::general(format!("The mail cannot be written: {error}"))),
    }
}
