//! Mail: templates in the reader's language, a durable queue, delivery by SMTP.
//!
//! Whoever sends writes the finished mail into the outbox, in the transaction of what causes it ([`outbox::post`]); the
//! job that follows knows only the row's key, so that neither the list of tasks nor a log shows a link or a code. The
//! worker ([`Deliver`]) hands the mail to a server and deletes the row. Must not decide who gets a mail, or when.

mod brand;
mod deliver;
mod hooks;
mod locale;
mod message;
pub mod outbox;
pub mod sample;
mod settings;
mod smtp;
mod templates;
mod text;
pub mod throttle;

#[cfg(test)]
mod tests;

pub use brand::{Letterhead, locale_of};
pub use deliver::Deliver;
pub use hooks::hooks;
pub use locale::{Direction, Locale};
pub use message::{Mailbox, Message, hide_secrets};
pub use settings::{MailSettings, Security, Smtp};
pub use smtp::{Failure, send};
pub use templates::{Letter, Rendered, TemplateError, TemplateInfo, Templates};

use weir_core::Map;
use weir_resource::Snapshot;

/// Templates and the global mail server; one per process.
#[derive(Debug)]
pub struct Mailer {
    /// The global mail server.
    pub server: Smtp,
    /// All templates.
    pub templates: Templates,
}

/// What a mail is made from.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Name of the template.
    pub template: &'a str,
    /// Subject as the administrator wrote it; known ones are translated.
    pub subject: &'a str,
    /// Main recipients.
    pub to: Vec<Mailbox>,
    /// How it looks and in which language.
    pub head: &'a Letterhead,
    /// Variables of the template.
    pub data: Map,
    /// Texts in the mail that only its reader may see: keys of links, codes.
    pub secrets: Vec<String>,
}

impl Mailer {
    /// A mailer with these settings.
    ///
    /// # Errors
    /// When a template of ours is broken, which is a defect.
    pub fn new(settings: MailSettings) -> Result<Self, TemplateError> {
        Ok(Self { server: settings.server, templates: Templates::new(settings.templates_dir)? })
    }

    /// The server to use for mails of a stage, or without one the global server. None when the stage is gone.
    pub fn server_of(&self, snapshot: &Snapshot, stage: Option<uuid::Uuid>) -> Option<Smtp> {
        match stage {
            None => Some(self.server.clone()),
            Some(id) => Some(self.server.of_stage(&snapshot.find(id)?.doc)),
        }
    }

    /// Writes a mail.
    ///
    /// # Errors
    /// When the template is unknown or broken.
    pub fn write(&self, draft: Draft<'_>) -> Result<Message, TemplateError> {
        let letter = Letter { head: draft.head, data: &draft.data };
        let rendered = self.templates.render(draft.template, &letter)?;
        Ok(Message {
            to: draft.to,
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: message::one_line(draft.head.locale.subject(draft.subject)),
            text: rendered.text,
            html: Some(rendered.html),
            secrets: draft.secrets,
        })
    }
}
