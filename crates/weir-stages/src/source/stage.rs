//! Behaviour of the source stage: puts the plan aside, sends the browser off, and passes only a plan that was brought
//! back by a sign-in. An answer of the browser's own proves nothing and is the same as a look.

use super::SourceStage;
use async_trait::async_trait;
use weir_core::Resource;
use weir_flow::{
    Outcome, Reject, Stage, StageCx, View, keys,
    sources::{
        self,
        resume::{self, Waiting},
    },
    stage::{NoChallenge, NoResponse, Person},
};

/// The kind.
pub struct SourceWait;

impl SourceWait {
    /// What this very binding waits for, when it has sent the browser off before.
    fn waiting(cx: &StageCx<'_>, config: &SourceStage) -> Option<Waiting> {
        let waiting: Waiting = cx.context.get(keys::SOURCE_WAITING)?;
        (waiting.binding == cx.binding && waiting.source == config.source.uuid()).then_some(waiting)
    }

    /// The plan as it stands now, to be gone on with later.
    async fn put_aside(cx: &mut StageCx<'_>, config: &SourceStage, waiting: &Waiting) -> Result<(), Reject> {
        let plan = cx.plan();
        let user = match cx.pending().await? {
            Person::Known(account) => Some(*account),
            _ => None,
        };
        let expires = cx.now() + config.resume_timeout.delta();
        resume::put_aside(&mut cx.unit.tx, waiting.id, &plan, user.as_ref(), expires).await?;
        Ok(())
    }
}

#[async_trait]
impl Stage for SourceWait {
    const MODEL: &'static str = SourceStage::MODEL;
    type Config = SourceStage;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &SourceStage) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &SourceStage) -> Result<View<NoChallenge>, Reject> {
        let deny = |text: &str| Ok(View::Done(Outcome::Deny(Some(text.to_owned()))));
        let known = Self::waiting(cx, config);
        if let Some(waiting) = &known
            && cx.context.get(keys::IS_RESTORED) == Some(waiting.id.to_string())
        {
            cx.context.remove(keys::SOURCE_WAITING);
            return Ok(View::Done(Outcome::Next));
        }
        let source = config.source.uuid();
        if cx.unit.snapshot.find(source).is_none() {
            return deny("Source does not exist");
        }
        let Some(button) = sources::button(cx.app, &cx.unit.snapshot, source) else { return deny("Invalid source") };
        let waiting = known.unwrap_or_else(|| Waiting {
            id: cx.app.site.random.uuid(),
            binding: cx.binding,
            source,
            resume_on: Vec::new(),
        });
        let resume_on = config.resume_on_match_failures.iter().map(|reason| reason.as_str().to_owned()).collect();
        let waiting = Waiting { resume_on, ..waiting };
        cx.context.set(keys::SOURCE_WAITING, &waiting);
        Self::put_aside(cx, config, &waiting).await?;
        Ok(View::Done(Outcome::Show(button.challenge)))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &SourceStage, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
