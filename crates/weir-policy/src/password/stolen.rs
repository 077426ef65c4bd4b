//! Asks a service how often a password was stolen without telling it the password: the service gets the first
//! five characters of the hash and answers with all it knows that begin so.

use crate::outbound::{Outbound, OutboundRequest};
use anyhow::{Context, bail};
use reqwest::{Method, Url, header::HeaderMap};
use sha1::{Digest, Sha1};
use std::time::Duration;

/// What leaves the server.
const SENT_CHARS: usize = 5;
/// A person waits for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often.
///
/// # Errors
/// When the service gives no answer that makes sense. The texts tell nothing of the password.
pub async fn count(outbound: &Outbound, service: &str, password: &str) -> anyhow::Result<u64> {
    let hash: String = Sha1::digest(password.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
    let (sent, kept) = hash.split_at(SENT_CHARS);
    let url = Url::parse(&format!("{}/range/{sent}", service.trim_end_matches('/')));
    let request = OutboundRequest {
        method: Method::GET,
        url: url.context("The address of the list of stolen passwords is not valid.")?,
        headers: HeaderMap::new(),
        body: None,
        timeout: Some(PATIENCE),
        follow_redirects: false,
    };
    let answer = outbound.send(request).await.context("The list of stolen passwords cannot be asked.")?;
    if answer.status != 200 {
        bail!("The list of stolen passwords answered with {}.", answer.status);
    }
    let text = String::from_utf8(answer.body).context("The list of stolen passwords answered with something else.")?;
    find(&text, kept)
}

/// The count behind a rest of a hash, 0 when it is not in the answer.
fn find(text: &str, kept: &str) -> anyhow::Result<u64> {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (rest, count) = line.trim().split_once(':').context("The list of stolen passwords answered nonsense.")?;
        if rest.eq_ignore_ascii_case(kept) {
            return count.trim().parse().context("The list of stolen passwords answered nonsense.");
        }
    }
    Ok(0)
}
