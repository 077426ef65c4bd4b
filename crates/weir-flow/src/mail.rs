//! Mails with a link into a flow.

use crate::App;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map, Random};
use weir_identity::{Account, brand::Brand};
use weir_mail::{Draft, Letterhead, Mailbox, TemplateError, locale_of, outbox};
use weir_policy::RequestInfo;
use weir_resource::{Unit, store};
use weir_store::StoreError;

/// Who reads a mail.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The account; none for a name nobody has.
    pub account: Option<&'a Account>,
    /// Name for people.
    pub name: &'a str,
    /// Where it goes; none to write it all the same and send it to nobody.
    pub address: Option<&'a str>,
}

impl Reader<'_> {
    /// What templates see as `user`.
    fn variables(&self) -> Value {
        match self.account {
            Some(account) => json!({
                "pk": account.id, "username": account.username, "name": account.name, "email": account.email,
                "attributes": account.attributes,
            }),
            None => json!({
                "pk": null, "username": self.name, "name": self.name, "email": self.name, "attributes": {},
            }),
        }
    }
}

/// A mail about a link or a code.
#[derive(Debug)]
pub struct LinkMail<'a> {
    /// The stage whose settings count.
    pub stage: Uuid,
    /// Its template.
    pub template: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Who reads it.
    pub reader: Reader<'a>,
    /// The whole link; empty for a code.
    pub url: String,
    /// The key in the link, or the code.
    pub key: String,
    /// How long it works, as people are told.
    pub lifetime: TimeDelta,
    /// When it stops working.
    pub expires: DateTime<Utc>,
}

/// Why a mail was not posted.
#[derive(Debug)]
pub enum MailError {
    /// The template is broken.
    Template(TemplateError),
    /// Anything else.
    Failed(ApiError),
}

impl From<StoreError> for MailError {
    fn from(error: StoreError) -> Self {
        Self::Failed(store(error))
    }
}

impl LinkMail<'_> {
    /// Writes the mail in the reader's language and puts it into the outbox.
    ///
    /// # Errors
    /// See [`MailError`].
    pub async fn post(self, app: &App, unit: &mut Unit<'_>, request: &RequestInfo) -> Result<(), MailError> {
        let brand = request.brand.and_then(|id| unit.snapshot.get::<Brand>(id));
        let locale = locale_of(&mut unit.tx, self.reader.account, brand.as_deref()).await?;
        let base_url = app.site_url(&unit.snapshot.settings, request);
        let head = Letterhead::new(&unit.snapshot, request.brand, &base_url, locale);
        let mut data = Map::new();
        let code = if self.url.is_empty() { Value::from(self.key.clone()) } else { Value::Null };
        for (name, value) in [
            ("url", Value::from(self.url)),
            ("user", self.reader.variables()),
            ("token", self.key.clone().into()),
            ("code", code),
            ("expires", self.expires.to_rfc3339_opts(SecondsFormat::Secs, true).into()),
            ("lifetime", self.lifetime.num_seconds().into()),
        ] {
            data.insert(name.to_owned(), value);
        }
        let draft = Draft {
            template: self.template,
            subject: self.subject,
            to: self.reader.address.map(|address| Mailbox::new(self.reader.name, address)).into_iter().collect(),
            head: &head,
            data,
            secrets: vec![self.key],
        };
        let message = app.mail.write(draft).map_err(MailError::Template)?;
        let mut origin = unit.actor.origin.clone();
        origin.http_request = Value::Null;
        if let (None, Some(account)) = (origin.user_id, self.reader.account) {
            // In a flow nobody is signed in yet; the mail is about this person.
            origin.user = account.event_user();
            origin.user_id = Some(account.id);
            origin.username.clone_from(&account.username);
        }
        let what = format!("Send {}", self.template);
        let wait = moment(&*app.site.random);
        let parcel = outbox::Parcel { stage: Some(self.stage), message, what, expires: self.expires, wait };
        outbox::post(&mut unit.tx, &*app.site.random, app.site.clock.now(), &origin, parcel).await?;
        Ok(())
    }
}

/// Half a second to one and a half. What the worker does with a mail depends on whether there is a recipient; delivered at
/// once it would slow down the very browser that asked, and its time would tell who has an account.
fn moment(random: &dyn Random) -> TimeDelta {
    let mut bytes = [0; 2];
    random.fill(&mut bytes);
    TimeDelta::milliseconds(500 + i64::from(u16::from_le_bytes(bytes)) % 1000)
}
