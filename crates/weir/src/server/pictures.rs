//! Whether there are pictures at other servers: each address is asked once by HEAD, and what it said is kept for a while.
//! A host that cannot be reached is left alone for hours, so that lists of users do not wait for it again and again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, Url, header::HeaderMap};
use tokio::sync::{Semaphore, watch};
use weir_core::Clock;
use weir_policy::outbound::{Outbound, OutboundRequest, OutboundResponse};
use weir_resource::Pictures;

/// How long a picture that was there counts as there, and a host that failed as failing.
const KEPT: TimeDelta = TimeDelta::hours(8);
/// How long a picture that was missing counts as missing: people add one.
const MISSING: TimeDelta = TimeDelta::hours(1);
/// Time for one question.
const QUESTION: Duration = Duration::from_secs(3);
/// How long an answer that shows users waits for all its questions together.
const WAIT: Duration = Duration::from_millis(1500);
/// Questions at a time.
const AT_ONCE: usize = 16;
/// Questions that may wait.
const WAITING: usize = 1000;
/// Addresses of which something is known.
const KNOWN: usize = 50_000;

#[derive(Default)]
struct Known {
    /// Whether there is a picture, and until when that holds.
    addresses: HashMap<String, (bool, DateTime<Utc>)>,
    /// Hosts that failed, and until when they are left alone.
    failing: HashMap<String, DateTime<Utc>>,
    /// What is being asked; ends with the answer.
    asking: HashMap<String, watch::Receiver<()>>,
}

impl Known {
    fn look(&self, address: &str, host: &str, now: DateTime<Utc>) -> Option<bool> {
        if let Some((there, end)) = self.addresses.get(address)
            && *end > now
        {
            return Some(*there);
        }
        self.is_failing(host, now).then_some(false)
    }

    fn is_failing(&self, host: &str, now: DateTime<Utc>) -> bool {
        self.failing.get(host).is_some_and(|end| *end > now)
    }

    fn keep(&mut self, address: &str, there: bool, now: DateTime<Utc>) {
        if self.addresses.len() >= KNOWN {
            self.addresses.retain(|_, (_, end)| *end > now);
        }
        if self.addresses.len() >= KNOWN {
            self.addresses.clear();
        }
        let end = now + if there { KEPT } else { MISSING };
        self.addresses.insert(address.to_owned(), (there, end));
    }
}

/// Asks by HEAD.
pub struct Heads(Arc<Inner>);

struct Inner {
    outbound: Arc<Outbound>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    slots: Semaphore,
}

/// Host and port of an address that can be asked.
fn host(address: &str) -> Option<(Url, String)> {
    let url = Url::parse(address).ok()?;
    let host = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
    Some((url, host))
}

impl Heads {
    /// Knows nothing yet.
    pub fn new(outbound: Arc<Outbound>, clock: Arc<dyn Clock>) -> Self {
        let slots = Semaphore::new(AT_ONCE);
        Self(Arc::new(Inner { outbound, clock, known: Mutex::default(), slots }))
    }

    /// Begins to ask unless somebody does already; what is returned ends with the answer.
    fn ask(&self, known: &mut Known, address: &str, url: Url, host: String) -> Option<watch::Receiver<()>> {
        if let Some(asked) = known.asking.get(address) {
            return Some(asked.clone());
        }
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        if known.asking.len() >= WAITING {
            return None;
        }
        let (done, asked) = watch::channel(());
        known.asking.insert(address.to_owned(), asked.clone());
        let (inner, address) = (Arc::clone(&self.0), address.to_owned());
        runtime.spawn(async move {
            inner.question(&address, url, &host).await;
            drop(done);
        });
        Some(asked)
    }
}

/// What an answer says; none when the host is in no state to say anything.
fn is_picture(answer: &OutboundResponse) -> Option<bool> {
    if answer.status >= 500 || answer.status == 429 {
        return None;
    }
    let mut types = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_image = types.any(|(_, value)| value.trim().to_ascii_lowercase().starts_with("image/"));
    Some((200..300).contains(&answer.status) && is_image)
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn question(&self, address: &str, url: Url, host: &str) {
        // Never closed.
        let _slot = self.slots.acquire().await;
        let left_alone = self.known().is_failing(host, self.clock.now());
        let there = if left_alone { Some(false) } else { self.head(url).await };
        let now = self.clock.now();
        let mut known = self.known();
        known.asking.remove(address);
        match there {
            Some(_) if left_alone => {}
            Some(there) => known.keep(address, there, now),
            None => {
                known.failing.retain(|_, end| *end > now);
                known.failing.insert(host.to_owned(), now + KEPT);
            }
        }
    }

    async fn head(&self, url: Url) -> Option<bool> {
        let request = OutboundRequest {
            method: Method::HEAD,
            url,
            headers: HeaderMap::new(),
            body: None,
            timeout: Some(QUESTION),
            follow_redirects: true,
        };
        match self.outbound.send(request).await {
            Ok(answer) => is_picture(&answer),
            Err(error) => {
                tracing::info!(%error, "a server of avatars is left alone for some hours");
                None
            }
        }
    }
}

#[async_trait]
impl Pictures for Heads {
    fn look(&self, address: &str) -> Option<bool> {
        // What is no address has no picture.
        let Some((url, host)) = host(address) else { return Some(false) };
        let mut known = self.0.known();
        let found = known.look(address, &host, self.0.clock.now());
        if found.is_none() {
            self.ask(&mut known, address, url, host);
        }
        found
    }

    async fn settle(&self, addresses: &[String]) {
        let mut asked: Vec<watch::Receiver<()>> = Vec::new();
        {
            let mut known = self.0.known();
            let now = self.0.clock.now();
            for address in addresses {
                let Some((url, host)) = host(address) else { continue };
                if known.look(address, &host, now).is_none() {
                    asked.extend(self.ask(&mut known, address, url, host));
                }
            }
        }
        let all = async {
            for mut question in asked {
                // Nothing is ever sent: the end of the channel is the answer.
                while question.changed().await.is_ok() {}
            }
        };
        if tokio::time::timeout(WAIT, all).await.is_err() {
            tracing::debug!("pictures at other servers are not waited for any longer");
        }
    }
}
