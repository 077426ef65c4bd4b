//! Combines the bindings of a target into one answer.

#[cfg(test)]
mod tests;

use crate::{PolicyBinding, PolicyCx, PolicyFailure, PolicyRequest, PolicyResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use uuid::Uuid;
use weir_events::{Event, action};
use weir_identity::membership;

/// How the results of a target's bindings combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// At least one passes.
    #[default]
    Any,
    /// Every one passes.
    All,
}

/// One line of the receipt: what a binding was asked and answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The binding; none for the static ones together.
    pub binding: Option<Uuid>,
    /// Name of the policy, or `static`.
    pub policy: String,
    /// Its answer after negation.
    pub passing: bool,
    /// Its messages.
    pub messages: Vec<String>,
    /// Run time in microseconds.
    pub micros: u64,
}

/// The answer for a target.
#[derive(Clone, Debug)]
pub struct EngineResult {
    /// Whether the target applies.
    pub passing: bool,
    /// Messages of all results in binding order, passing or not.
    pub messages: Vec<String>,
    /// Who was asked.
    pub asked: Vec<Asked>,
}

/// Asks the bindings of one target.
pub struct Engine {
    /// Key of the target object.
    pub target: Uuid,
    /// Its mode.
    pub mode: Mode,
    /// Answer when there are no bindings.
    pub empty_result: bool,
}

impl Engine {
    /// An engine for a target; no bindings means passing.
    pub fn new(target: Uuid, mode: Mode) -> Self {
        Self { target, mode, empty_result: true }
    }

    /// Asks every enabled binding in order.
    ///
    /// # Errors
    /// Those of the store; a policy that fails is an answer, not an error.
    pub async fn evaluate(
        &self,
        cx: &mut PolicyCx<'_>,
        request: &mut PolicyRequest<'_>,
    ) -> anyhow::Result<EngineResult> {
        self.evaluate_knowing(cx, request, None).await
    }

    /// The same, for callers that ask many targets or users and have read the user's groups, with their ancestors,
    /// already.
    ///
    /// # Errors
    /// As [`Engine::evaluate`].
    pub async fn evaluate_knowing(
        &self,
        cx: &mut PolicyCx<'_>,
        request: &mut PolicyRequest<'_>,
        groups: Option<&BTreeSet<Uuid>>,
    ) -> anyhow::Result<EngineResult> {
        let bindings = cx.snapshot.referring_by::<PolicyBinding>(self.target, "target");
        self.evaluate_bindings(cx, request, groups, bindings).await
    }

    /// The same for a target that things are bound to in more than one way: these are its bindings.
    ///
    /// # Errors
    /// As [`Engine::evaluate`].
    pub async fn evaluate_bindings(
        &self,
        cx: &mut PolicyCx<'_>,
        request: &mut PolicyRequest<'_>,
        groups: Option<&BTreeSet<Uuid>>,
        mut bindings: Vec<(Uuid, Arc<PolicyBinding>)>,
    ) -> anyhow::Result<EngineResult> {
        if !request.debug {
            request.locate(cx.site);
        }
        bindings.retain(|(_, b)| b.enabled);
        bindings.sort_by_key(|(id, b)| (b.order, *id));
        let mut asked = Vec::new();
        let (mut fixed, mut dynamic) = (Vec::new(), Vec::new());
        for (id, binding) in bindings {
            if binding.policy.is_some() { dynamic.push((id, binding)) } else { fixed.push(binding) }
        }
        if !fixed.is_empty() {
            asked.push(self.ask_static(cx, request, &fixed, groups).await?);
        }
        for (id, binding) in dynamic {
            asked.push(ask(cx, request, id, &binding).await?);
        }
        let passing = match self.mode {
            _ if asked.is_empty() => self.empty_result,
            Mode::All => asked.iter().all(|a| a.passing),
            Mode::Any => asked.iter().any(|a| a.passing),
        };
        let messages = asked.iter().flat_map(|a| a.messages.clone()).collect();
        Ok(EngineResult { passing, messages, asked })
    }

    /// Group and user bindings give one result together.
    async fn ask_static(
        &self,
        cx: &mut PolicyCx<'_>,
        request: &PolicyRequest<'_>,
        bindings: &[Arc<PolicyBinding>],
        known: Option<&BTreeSet<Uuid>>,
    ) -> anyhow::Result<Asked> {
        let started = std::time::Instant::now();
        let mut matching = 0;
        // An anonymous visitor matches none, negated ones included.
        if let Some(user) = request.user {
            let mut read = BTreeSet::new();
            if known.is_none() && bindings.iter().any(|b| b.group.is_some()) {
                read.extend(membership::groups_of(&mut *cx.tx, user.id).await?.into_iter().map(|g| g.id));
            }
            let groups = known.unwrap_or(&read);
            let matches = |binding: &PolicyBinding| match (&binding.group, &binding.user) {
                (Some(group), _) => groups.contains(group.pk()),
                (None, Some(other)) => *other.pk() == user.id,
                (None, None) => false,
            };
            matching = bindings.iter().filter(|b| matches(b) != b.negate).count();
        }
        let passing = match self.mode {
            Mode::Any => matching >= 1,
            Mode::All => matching == bindings.len(),
        };
        Ok(Asked { binding: None, policy: "static".to_owned(), passing, messages: Vec::new(), micros: micros(started) })
    }
}

fn micros(started: std::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Asks one policy binding.
async fn ask(
    cx: &mut PolicyCx<'_>,
    request: &mut PolicyRequest<'_>,
    id: Uuid,
    binding: &PolicyBinding,
) -> anyhow::Result<Asked> {
    let started = std::time::Instant::now();
    let policy_id = binding.policy.as_ref().map(|p| *p.pk()).unwrap_or_default();
    let name = cx.snapshot.find(policy_id).map(|o| o.name()).unwrap_or_default();
    let limit = Duration::from_secs(u64::from(binding.timeout));
    let result = run(cx, policy_id, request, Some(limit)).await;
    let (passing, messages) = match result {
        Ok(result) => (result.passing != binding.negate, result.messages),
        // What a failure counts as is said for itself: it is not turned around.
        Err(error) => (binding.failure_result, PolicyFailure::messages(&error)),
    };
    Ok(Asked { binding: Some(id), policy: name, passing, messages, micros: micros(started) })
}

/// Runs one policy, writing `policy_exception` when it fails and `policy_execution` when it asks for logging.
///
/// # Errors
/// The policy's failure; its text is what the person is told.
pub async fn run(
    cx: &mut PolicyCx<'_>,
    policy: Uuid,
    request: &mut PolicyRequest<'_>,
    limit: Option<Duration>,
) -> anyhow::Result<PolicyResult> {
    const DEEPEST: u8 = 8;
    let object = cx.snapshot.find(policy).cloned().ok_or_else(|| anyhow::anyhow!("The policy does not exist."))?;
    let kind = cx.kinds.find(object.kind.model).ok_or_else(|| anyhow::anyhow!("The policy's kind is not served."))?;
    if cx.depth >= DEEPEST {
        anyhow::bail!("Policies call each other too deeply.");
    }
    let depth = cx.depth;
    cx.depth = depth + 1;
    let work = kind.passes(cx, policy, &object.typed, request);
    let result = match limit {
        // Zero means no limit of the binding's own; the kind's limits still hold.
        Some(limit) if !limit.is_zero() => match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(took_longer(limit)),
        },
        _ => work.await,
    };
    let result = match (&request.dry_run, limit) {
        (Some(dry_run), Some(limit)) if !limit.is_zero() && dry_run.waited > limit => Err(took_longer(limit)),
        _ => result,
    };
    // Set, not counted: a run that was cut off has left those below it unfinished.
    cx.depth = depth;
    if !request.debug {
        report(cx, &object, request, &result);
    }
    result
}

fn took_longer(limit: Duration) -> anyhow::Error {
    anyhow::anyhow!("The policy took longer than {} seconds.", limit.as_secs())
}

fn report(
    cx: &mut PolicyCx<'_>,
    object: &weir_resource::Object,
    request: &PolicyRequest<'_>,
    result: &anyhow::Result<PolicyResult>,
) {
    let subject = json!({
        "policy": {"app": object.kind.app_label(), "model_name": object.kind.model_name(),
                   "pk": object.id.simple().to_string(), "name": object.name()},
        "request": {"user": request.user.map(weir_identity::Account::event_user), "obj": request.obj},
    });
    let mut context = subject.as_object().cloned().unwrap_or_default();
    match result {
        Err(error) => {
            context.insert("message".to_owned(), Value::from(error.to_string()));
            cx.events.push(Event::new(action::POLICY_EXCEPTION, "authentik_policies", Value::Object(context)));
        }
        Ok(result) if object.doc.get("execution_logging") == Some(&Value::Bool(true)) => {
            let shown = json!({"passing": result.passing, "messages": result.messages});
            context.insert("result".to_owned(), shown);
            cx.events.push(Event::new(action::POLICY_EXECUTION, "authentik_policies", Value::Object(context)));
        }
        Ok(_) => {}
    }
}
