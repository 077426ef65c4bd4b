//! Asks the bindings of a target as [`Engine`] does, and tells why the answer is what it is. Nothing happens: no events,
//! no mails, no waiting, no questions to other servers. What policies want done is only named, and what depends on
//! another server is not known.

#[cfg(test)]
mod tests;

use crate::{DryRun, Engine, Mode, PolicyBinding, PolicyCx, PolicyEffect, PolicyFailure, PolicyRequest, engine};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;
use weir_core::Map;
use weir_events::cleanse;
use weir_identity::membership;

/// Name of the effect that takes a password away.
pub const EXPIRE_PASSWORD: &str = "expire_password";

/// Why a target applies or not.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// How results combine.
    pub engine_mode: Mode,
    /// Bindings in order, those that are off too.
    pub bindings: Vec<Value>,
    /// What bindings of users and groups say together; null without any.
    #[serde(rename = "static")]
    pub fixed: Value,
    /// No binding was asked: this is the answer then.
    pub empty_result: bool,
    /// The answer; null when it depends on a policy whose answer is not known.
    pub passing: Option<bool>,
    /// What the person would be told.
    pub messages: Vec<String>,
    /// What would be done.
    pub effects: Vec<Value>,
    /// Time for all of it, in microseconds.
    pub micros: u64,
}

/// Explains a target, or one of its bindings as if it were the only one.
///
/// # Errors
/// Those of the store; a policy that fails is part of the answer.
pub async fn explain(
    engine: &Engine,
    only: Option<Uuid>,
    cx: &mut PolicyCx<'_>,
    request: &mut PolicyRequest<'_>,
) -> anyhow::Result<Explained> {
    let started = Instant::now();
    (request.debug, request.dry_run) = (true, Some(DryRun::default()));
    request.locate(cx.site);
    let snapshot = Arc::clone(cx.snapshot);
    let mut bindings = snapshot.referring_by::<PolicyBinding>(engine.target, "target");
    bindings.retain(|(id, _)| only.is_none_or(|only| only == *id));
    bindings.sort_by_key(|(id, b)| (b.order, *id));
    let groups = groups(cx, request, &bindings).await?;
    let mut shown = Vec::with_capacity(bindings.len());
    let (mut results, mut messages, mut effects) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fixed, mut matching) = (0, 0_usize);
    for (id, binding) in &bindings {
        let mut node = head(cx, *id, binding);
        if !binding.enabled {
            node.insert("asked".to_owned(), false.into());
        } else if binding.policy.is_some() {
            let asked = ask(cx, request, binding).await;
            results.push(asked.passing);
            messages.extend(asked.messages);
            effects.extend(request.effects.drain(..).map(|effect| effect_shown(&effect)));
            effects.extend(asked.omitted);
            node.extend(asked.shown);
        } else {
            let matches = request.user.map(|user| is_meant(binding, user.id, &groups));
            // An anonymous visitor matches none, negated ones included.
            let passing = matches.is_some_and(|matches| matches != binding.negate);
            fixed += 1_usize;
            matching += usize::from(passing);
            node.extend([("matches", json!(matches)), ("passing", json!(passing))].map(|(k, v)| (k.to_owned(), v)));
        }
        shown.push(Value::Object(node));
    }
    let mut together = Value::Null;
    if fixed > 0 {
        let passing = if engine.mode == Mode::All { matching == fixed } else { matching > 0 };
        together = json!({"passing": passing, "matching": matching, "of": fixed});
        results.push(Some(passing));
    }
    let passing = combine(engine, &results);
    let micros = micros(started);
    let empty_result = results.is_empty();
    Ok(Explained {
        engine_mode: engine.mode,
        bindings: shown,
        fixed: together,
        empty_result,
        passing,
        messages,
        effects,
        micros,
    })
}

/// As the engine combines them, as far as they are known: one answer may decide whatever the others are.
fn combine(engine: &Engine, results: &[Option<bool>]) -> Option<bool> {
    let decides = engine.mode == Mode::Any;
    match results {
        [] => Some(engine.empty_result),
        _ if results.contains(&Some(decides)) => Some(decides),
        _ if results.contains(&None) => None,
        _ => Some(!decides),
    }
}

fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn groups(
    cx: &mut PolicyCx<'_>,
    request: &PolicyRequest<'_>,
    bindings: &[(Uuid, Arc<PolicyBinding>)],
) -> anyhow::Result<BTreeSet<Uuid>> {
    let Some(user) = request.user.filter(|_| bindings.iter().any(|(_, b)| b.group.is_some())) else {
        return Ok(BTreeSet::new());
    };
    Ok(membership::groups_of(&mut *cx.tx, user.id).await?.into_iter().map(|group| group.id).collect())
}

fn is_meant(binding: &PolicyBinding, user: i64, groups: &BTreeSet<Uuid>) -> bool {
    match (&binding.group, &binding.user) {
        (Some(group), _) => groups.contains(group.pk()),
        (None, Some(other)) => *other.pk() == user,
        (None, None) => false,
    }
}

/// What a binding is.
fn head(cx: &PolicyCx<'_>, id: Uuid, binding: &PolicyBinding) -> Map {
    let (kind, key) = match (&binding.policy, &binding.group, &binding.user) {
        (Some(policy), ..) => ("policy", json!(policy.pk())),
        (None, Some(group), _) => ("group", json!(group.pk())),
        (None, None, user) => ("user", json!(user.as_ref().map(|user| *user.pk()))),
    };
    let mut node = json!({
        "binding": id, "order": binding.order, "enabled": binding.enabled, "asked": true, "kind": kind, "pk": key,
        "negate": binding.negate,
    });
    if let Some(object) = binding.policy.as_ref().and_then(|policy| cx.snapshot.find(*policy.pk()))
        && let Some(node) = node.as_object_mut()
    {
        node.insert("name".to_owned(), object.name().into());
        node.insert("meta_model_name".to_owned(), object.kind.model.into());
        node.insert("failure_result".to_owned(), binding.failure_result.into());
        node.insert("timeout".to_owned(), binding.timeout.into());
    }
    node.as_object().cloned().unwrap_or_default()
}

struct Asked {
    passing: Option<bool>,
    messages: Vec<String>,
    omitted: Vec<Value>,
    shown: Map,
}

async fn ask(cx: &mut PolicyCx<'_>, request: &mut PolicyRequest<'_>, binding: &PolicyBinding) -> Asked {
    let started = Instant::now();
    let policy = binding.policy.as_ref().map(|policy| *policy.pk()).unwrap_or_default();
    let limit = Duration::from_secs(u64::from(binding.timeout));
    let keys: Vec<String> = request.context.keys().cloned().collect();
    request.dry_run = Some(DryRun::default());
    let ran = engine::run(cx, policy, request, Some(limit)).await;
    let dry_run = request.dry_run.replace(DryRun::default()).unwrap_or_default();
    let (passing, messages, mut shown) = match ran {
        // Whatever it made of not being told counts for nothing.
        ran if !dry_run.not_asked.is_empty() => {
            let messages = match ran {
                Ok(result) => result.messages,
                Err(error) => error.downcast::<PolicyFailure>().map(|failure| failure.messages).unwrap_or_default(),
            };
            let shown = json!({
                "result": null, "failed": false, "inputs": {"context": keys}, "not_asked": dry_run.not_asked,
            });
            (None, messages, shown)
        }
        Ok(result) => {
            // What a kind does not name, it may have taken from anywhere in the context.
            let inputs = if result.inputs.is_empty() { json!({"context": keys}) } else { Value::Object(result.inputs) };
            let shown = json!({
                "result": result.passing, "raw_result": result.raw_result, "log_messages": result.log_messages,
                "inputs": inputs, "failed": false,
            });
            (Some(result.passing != binding.negate), result.messages, shown)
        }
        Err(error) => {
            let shown = json!({"result": null, "failed": true, "inputs": {"context": keys}});
            (Some(binding.failure_result), PolicyFailure::messages(&error), shown)
        }
    };
    shown = cleanse(shown);
    let mut shown = shown.as_object_mut().map(std::mem::take).unwrap_or_default();
    shown.insert("passing".to_owned(), passing.into());
    shown.insert("messages".to_owned(), messages.clone().into());
    shown.insert("micros".to_owned(), micros(started).into());
    Asked { passing, messages, omitted: dry_run.omitted, shown }
}

fn effect_shown(effect: &PolicyEffect) -> Value {
    match effect {
        PolicyEffect::ExpirePassword { user, set } => json!({"effect": EXPIRE_PASSWORD, "user": user, "set": set}),
    }
}
