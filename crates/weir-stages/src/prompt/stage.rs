//! Behaviour of the prompt stage.

use super::{Asking, Prompt, PromptChallenge, PromptResponse, PromptStage, PromptType, StagePrompt, answer, question};
use async_trait::async_trait;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;
use weir_core::{FieldErrors, Map, Resource};
use weir_flow::{Effect, Outcome, Reject, Stage, StageCx, View, keys};
use weir_identity::{Account, accounts, attributes};
use weir_policy::{PolicyCx, PolicyFailure, PolicyRequest, engine};

/// The kind.
pub struct Ask;

/// How long a validation policy may take.
const LONGEST: Duration = Duration::from_secs(30);

impl Ask {
    /// The questions in order, as they stand for this person now.
    async fn questions(
        cx: &mut StageCx<'_>,
        config: &PromptStage,
        user: Option<&Account>,
    ) -> Result<Vec<StagePrompt>, Reject> {
        let mut prompts: Vec<(Uuid, Arc<Prompt>)> =
            config.fields.iter().filter_map(|r| Some((r.uuid(), cx.unit.snapshot.get::<Prompt>(r.uuid())?))).collect();
        prompts.sort_by_key(|(_, p)| p.order);
        let prompt_data = cx.context.get(keys::PROMPT_DATA).unwrap_or_default();
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let app = cx.app;
        let mut policies = PolicyCx {
            site: &app.site,
            snapshot: &snapshot,
            tx: &mut cx.unit.tx,
            kinds: &app.policies,
            events: &mut cx.events,
            depth: 0,
        };
        let asking =
            Asking { expressions: &app.expressions, user, http: cx.request, prompt_data: &prompt_data, strict: false };
        let mut questions = Vec::with_capacity(prompts.len());
        for (_, prompt) in prompts {
            questions.push(question(&mut policies, &asking, &prompt).await?);
        }
        Ok(questions)
    }

    /// All validation policies must agree; the messages of those that do not are the errors.
    async fn ask_policies(
        cx: &mut StageCx<'_>,
        config: &PromptStage,
        user: Option<&Account>,
        answers: &Map,
    ) -> Result<FieldErrors, Reject> {
        let mut errors = FieldErrors::new();
        if config.validation_policies.is_empty() {
            return Ok(errors);
        }
        let snapshot = Arc::clone(&cx.unit.snapshot);
        let app = cx.app;
        let mut context = cx.context.0.clone();
        context.insert(keys::PROMPT_DATA.name.to_owned(), Value::Object(answers.clone()));
        let mut policies = PolicyCx {
            site: &app.site,
            snapshot: &snapshot,
            tx: &mut cx.unit.tx,
            kinds: &app.policies,
            events: &mut cx.events,
            depth: 0,
        };
        let mut refused = false;
        let mut messages = Vec::new();
        for policy in &config.validation_policies {
            let mut request = PolicyRequest {
                context: context.clone(),
                plan_context: Some(&mut cx.context.0),
                ..PolicyRequest::new(user, cx.request, Value::Null)
            };
            request.locate(&app.site);
            let result = engine::run(&mut policies, *policy.pk(), &mut request, Some(LONGEST)).await;
            cx.effects.extend(request.effects.drain(..).map(Effect::Policy));
            match result {
                Ok(result) => {
                    refused |= !result.passing;
                    messages.extend(result.messages);
                }
                Err(error) => {
                    refused = true;
                    messages.extend(PolicyFailure::messages(&error));
                }
            }
        }
        if refused {
            if messages.is_empty() {
                messages.push("The answers were refused by a policy.".to_owned());
            }
            for message in messages {
                errors.add(FieldErrors::GENERAL, message, "invalid");
            }
        }
        Ok(errors)
    }
}

#[async_trait]
impl Stage for Ask {
    const MODEL: &'static str = PromptStage::MODEL;
    type Config = PromptStage;
    type Challenge = PromptChallenge;
    type Response = PromptResponse;

    async fn view(&self, cx: &mut StageCx<'_>, config: &PromptStage) -> Result<View<PromptChallenge>, Reject> {
        let person = cx.person().await?;
        let fields = Self::questions(cx, config, person.account()).await?;
        Ok(View::Ask(PromptChallenge { fields }))
    }

    async fn answer(
        &self,
        cx: &mut StageCx<'_>,
        config: &PromptStage,
        response: PromptResponse,
    ) -> Result<Outcome, Reject> {
        let person = cx.person().await?;
        let questions = Self::questions(cx, config, person.account()).await?;
        let mut errors = FieldErrors::new();
        let mut answers = Map::new();
        let mut passwords = Vec::new();
        for question in &questions {
            let Some(value) = answer::check(question, response.answers.get(&question.field_key), &mut errors) else {
                continue;
            };
            if question.kind == PromptType::Password {
                passwords.push(value.clone());
            }
            if question.kind == PromptType::Username
                && is_taken(cx, value.as_str().unwrap_or_default(), person.account()).await?
            {
                errors.add(&question.field_key, "Username is already taken.", "invalid");
            }
            answers.insert(question.field_key.clone(), value);
        }
        if let [first, second] = passwords.as_slice()
            && first != second
        {
            errors.add(FieldErrors::GENERAL, "Passwords don't match.", "invalid");
        }
        if errors.is_empty() {
            // Before the policies, which see dates as dates. Of a refused answer nothing else stays.
            note_kinds(cx, &questions);
            errors = Self::ask_policies(cx, config, person.account(), &answers).await?;
        }
        if !errors.is_empty() {
            return Err(Reject::Invalid(errors));
        }
        cx.context.object_mut(keys::PROMPT_DATA).extend(answers);
        // What an invitation says is not for the invited to change.
        if let Some(fixed) = cx.context.get(keys::INVITATION_FIXED) {
            attributes::merge(cx.context.object_mut(keys::PROMPT_DATA), &fixed);
        }
        Ok(Outcome::Next)
    }
}

/// Remembers what was asked for where the answer's JSON alone does not tell.
fn note_kinds(cx: &mut StageCx<'_>, questions: &[StagePrompt]) {
    let told = [PromptType::Password, PromptType::Date, PromptType::DateTime];
    let asked = questions.iter().filter(|q| told.contains(&q.kind));
    let asked: Vec<_> = asked.map(|q| (q.field_key.clone(), serde_json::json!(q.kind))).collect();
    if !asked.is_empty() {
        cx.context.object_mut(keys::PROMPT_KINDS).extend(asked);
    }
}

/// Whether another user has this name.
async fn is_taken(cx: &mut StageCx<'_>, name: &str, own: Option<&Account>) -> Result<bool, Reject> {
    let other = accounts::find_by_username(&mut cx.unit.tx, name).await?;
    Ok(other.is_some_and(|other| own.is_none_or(|own| own.id != other.id)))
}
