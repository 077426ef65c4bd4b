//! Looking at templates, and trying the mail server.

use std::path::Path;

use anyhow::{Context as _, Result};
use weir_core::{Clock as _, Random as _, SystemClock, SystemRandom, validate::is_email};
use weir_mail::{Draft, Letter, Letterhead, Locale, Mailbox, Mailer, sample, send};

use super::{Usage, args::Preview, commands, print};
use crate::config::Config;

const TEST: &str = "email/setup.html";

fn locale(tag: &str) -> Result<&'static Locale> {
    let known: Vec<&str> = Locale::all().iter().map(|locale| locale.tag.as_str()).collect();
    let found = Locale::find(tag);
    found.ok_or_else(|| Usage(format!("there is no language {tag:?}; one of: {}", known.join(", "))).into())
}

fn head(config: &Config, tag: &str) -> Result<Letterhead> {
    let base_url = config.local_url(config.listen);
    Ok(Letterhead { locale: locale(tag)?, title: "Weir".to_owned(), logo: None, base_url })
}

/// Prints the names of all templates.
pub fn templates(config: &Config) -> Result<()> {
    let mailer = Mailer::new(config.mail())?;
    let lines: Vec<String> =
        mailer.templates.list().iter().map(|info| format!("{:40} {}", info.name, info.description)).collect();
    print(&lines.join("\n"))
}

/// Prints a template filled with made-up values, or writes it to a file.
pub fn preview(config: &Config, wish: &Preview) -> Result<()> {
    let mailer = Mailer::new(config.mail())?;
    let head = head(config, &wish.locale)?;
    let data = sample::data(&head.base_url);
    let rendered = mailer.templates.render(&wish.template, &Letter { head: &head, data: &data })?;
    let text = if wish.text { rendered.text } else { rendered.html };
    match &wish.output {
        None => print(&text),
        Some(path) => write(path, &text),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Sends a test mail at once, not by the queue, so that what is wrong is told here.
pub async fn test(config: &Config, address: &str, stage: Option<&str>, tag: &str) -> Result<()> {
    if !is_email(address) {
        return Err(Usage(format!("{address:?} is no e-mail address")).into());
    }
    let mailer = Mailer::new(config.mail())?;
    let server = match stage {
        None => mailer.server.clone(),
        Some(name) => {
            let core = commands::open(config).await?;
            let snapshot = core.site.snapshot();
            let kinds = core.site.registry.family(weir_core::Family::Stage);
            let found = kinds.iter().find_map(|kind| snapshot.by_unique(kind.model, "name", name));
            let found = found.filter(|stage| stage.doc.contains_key("use_global_settings"));
            let stage = found.ok_or_else(|| Usage(format!("there is no stage {name:?} that sends mail")))?;
            mailer.server.of_stage(&stage.doc)
        }
    };
    let head = head(config, tag)?;
    let subject = head.locale.text("setup.subject", &[("brand", &head.title)]);
    let draft = Draft {
        template: TEST,
        subject: &subject,
        to: vec![Mailbox::new("", address)],
        head: &head,
        data: sample::data(&head.base_url),
        secrets: Vec::new(),
    };
    let message = mailer.write(draft)?;
    send(&server, SystemRandom.uuid(), SystemClock.now(), &message).await?;
    print(&format!("handed to {}:{}", server.host, server.port))
}
