//! Handing a mail to a server.

use crate::{Mailbox, Message, Security, Smtp};
use chrono::{DateTime, Utc};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{
        Mailbox as LettreMailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use std::{error::Error as _, time::Duration};
use uuid::Uuid;

/// Why a mail was not taken. The text is for administrators: it holds neither password nor content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Trying again would change nothing.
    #[error("{0}")]
    Permanent(String),
    /// It may work later.
    #[error("{0}")]
    Temporary(String),
}

fn permanent(text: impl Into<String>) -> Failure {
    Failure::Permanent(text.into())
}

/// Hands a mail over. The same `id` gives the same `Message-ID`, so that a mail that was sent twice can be told.
///
/// # Errors
/// See [`Failure`].
pub async fn send(server: &Smtp, id: Uuid, now: DateTime<Utc>, message: &Message) -> Result<(), Failure> {
    let mail = build(server, id, now, message)?;
    let transport = transport(server).await?;
    // The server's timeout counts for each answer; a mail needs a handful of them.
    let limit = server.timeout.saturating_mul(4).max(Duration::from_secs(30));
    match tokio::time::timeout(limit, transport.send(mail)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(classify(server, &error)),
        Err(_) => Err(Failure::Temporary(format!("{}: no end after {} seconds", place(server), limit.as_secs()))),
    }
}

fn place(server: &Smtp) -> String {
    format!("{}:{}", server.host, server.port)
}

fn classify(server: &Smtp, error: &lettre::transport::smtp::Error) -> Failure {
    let mut text = format!("{}: {error}", place(server));
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    let text = text.replace(['\r', '\n'], " ");
    if error.is_permanent() { Failure::Permanent(text) } else { Failure::Temporary(text) }
}

async fn transport(server: &Smtp) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
    let tls = match server.security {
        Security::None => Tls::None,
        Security::StartTls => Tls::Required(trust(server).await?),
        Security::Tls => Tls::Wrapper(trust(server).await?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(server.timeout));
    if !server.username.is_empty() {
        builder = builder.credentials(Credentials::new(server.username.clone(), server.password.0.clone()));
    }
    Ok(builder.build())
}

/// Whom the server's certificate must come from: the system's authorities and those of the settings.
async fn trust(server: &Smtp) -> Result<TlsParameters, Failure> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if let Some(path) = &server.ca_file {
        let named = |what: String| Failure::Temporary(format!("email.ca_file {}: {what}", path.display()));
        let pem = tokio::fs::read(path).await.map_err(|error| named(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| named(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| Failure::Temporary(format!("TLS cannot be used: {error}")))
}

fn mailbox(given: &Mailbox) -> Result<LettreMailbox, Failure> {
    let address: Address = given.address.parse().map_err(|_| permanent("A recipient's address is not valid."))?;
    Ok(LettreMailbox::new(Some(given.name.clone()).filter(|name| !name.is_empty()), address))
}

/// RFC 3834: nobody's holiday should answer.
fn automatic() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

fn build(server: &Smtp, id: Uuid, now: DateTime<Utc>, message: &Message) -> Result<lettre::Message, Failure> {
    let from: LettreMailbox =
        server.from.parse().map_err(|_| permanent(format!("The sender's address {:?} is not valid.", server.from)))?;
    let domain = from.email.domain().to_owned();
    let mut builder = lettre::Message::builder()
        .from(from)
        .subject(crate::message::one_line(&message.subject))
        .date(now.into())
        .message_id(Some(format!("<{id}@{domain}>")))
        .raw_header(automatic());
    for to in &message.to {
        builder = builder.to(mailbox(to)?);
    }
    for cc in &message.cc {
        builder = builder.cc(mailbox(cc)?);
    }
    for bcc in &message.bcc {
        builder = builder.bcc(mailbox(bcc)?);
    }
    let built = match &message.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(message.text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(message.text.clone())),
    };
    built.map_err(|error| permanent(format!("The mail cannot be written: {error}")))
}
