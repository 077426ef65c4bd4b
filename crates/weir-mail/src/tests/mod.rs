//! The parts of the crate, and a mail from the outbox to a server.

mod delivery;
mod letters;
mod throttle;

use crate::{Letterhead, Locale};

/// A letterhead in this language.
fn head(tag: &str) -> Letterhead {
    Letterhead {
        locale: Locale::find(tag).unwrap(),
        title: "Acme".to_owned(),
        logo: None,
        base_url: "https://id.example.org".to_owned(),
    }
}
