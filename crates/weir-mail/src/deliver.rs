//! The job that delivers a mail.

use crate::{Failure, Mailer, Message, Smtp, hide_secrets, outbox, smtp};
use anyhow::{Result, bail};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;
use weir_events::{Event, action};
use weir_resource::{Actor, Site, Unit};
use weir_store::jobs::{JobCx, JobHandler, LogLevel};

/// Handler of [`outbox::ACTOR`].
pub struct Deliver {
    /// The site.
    pub site: Arc<Site>,
    /// Servers.
    pub mailer: Arc<Mailer>,
}

/// The key of the mail that a job is about.
fn key(cx: &JobCx) -> Option<Uuid> {
    cx.args().get("mail").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok())
}

impl Deliver {
    async fn drop_mail(&self, id: Uuid) -> Result<()> {
        let mut tx = self.site.db.tx();
        outbox::remove(&mut tx, id).await?;
        Ok(tx.commit().await?)
    }

    /// Removes a delivered mail and puts it on record. Another worker may have done both: then neither is done again.
    async fn settle(&self, id: Uuid, origin: weir_events::Origin, server: &Smtp, message: &Message) -> Result<()> {
        let mut unit = Unit::new(&self.site, Actor { origin, ..Actor::system() });
        if outbox::remove(&mut unit.tx, id).await? {
            unit.event(sent(server, message)).await?;
        }
        Ok(unit.commit().await?)
    }
}

/// `email_sent`; what only the reader may see is masked.
fn sent(server: &Smtp, message: &Message) -> Event {
    let to: Vec<&str> =
        [&message.to, &message.cc, &message.bcc].into_iter().flatten().map(|m| m.address.as_str()).collect();
    let context = json!({
        "message": format!("Email to {} sent", to.join(", ")),
        "subject": hide_secrets(&message.subject, &message.secrets),
        "body": hide_secrets(&message.text, &message.secrets),
        "from_email": server.from,
        "to_email": to,
    });
    Event::new(action::EMAIL_SENT, "authentik_stages_email", context)
}

#[async_trait]
impl JobHandler for Deliver {
    async fn run(&self, cx: &JobCx) -> Result<()> {
        let Some(id) = key(cx) else { bail!("No mail was named.") };
        let Some(posted) = outbox::find(cx.db(), id).await? else {
            cx.log(LogLevel::Info, "The mail was delivered before, or withdrawn.", Value::Null);
            return Ok(());
        };
        let message = posted.message;
        if message.recipients() == 0 {
            self.drop_mail(id).await?;
            cx.log(LogLevel::Info, "Nothing to send: no account with an address was meant.", Value::Null);
            return Ok(());
        }
        if posted.expires <= cx.now() {
            self.drop_mail(id).await?;
            cx.log(LogLevel::Error, "Given up: what the mail says holds no more.", Value::Null);
            return Ok(());
        }
        let Some(server) = self.mailer.server_of(&self.site.snapshot(), posted.stage) else {
            self.drop_mail(id).await?;
            cx.log(LogLevel::Error, "Given up: the stage whose mail server is used was deleted.", Value::Null);
            return Ok(());
        };
        match smtp::send(&server, id, cx.now(), &message).await {
            Ok(()) => {
                self.settle(id, posted.origin, &server, &message).await?;
                let text = format!("Handed to {}:{}", server.host, server.port);
                cx.log(LogLevel::Debug, text, json!({"recipients": message.recipients()}));
                Ok(())
            }
            Err(Failure::Permanent(text)) => {
                // The mail stays while it is of use: the task can be started again once the cause is gone.
                tracing::warn!(error = text, "a mail was refused");
                cx.log(LogLevel::Error, format!("Refused for good: {text}"), Value::Null);
                Ok(())
            }
            Err(Failure::Temporary(text)) => {
                tracing::warn!(error = text, "a mail could not be handed over; it is tried again");
                bail!("Not handed over: {text}")
            }
        }
    }

    fn time_limit(&self) -> Duration {
        // Four times the longest timeout of a server, and some.
        Duration::from_secs(2500)
    }

    fn waits_for_others(&self) -> bool {
        true
    }
}
