//! Calls to other servers: http and https only, also after redirects; addresses that belong to the
//! machine or its cloud are refused; everything is bounded.

mod addresses;

#[cfg(test)]
pub(crate) mod tests;

pub use addresses::OutboundSettings;

use addresses::{Addresses, check};
use reqwest::{
    Client, Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde_json::Value;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The most redirects of a call.
const REDIRECTS: usize = 5;
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for everything.
const TOTAL: Duration = Duration::from_secs(30);
/// Connections to one host that are kept for the next call: as many as the sync opens at a time.
const IDLE: usize = 8;
/// Most headers that a mapping gives.
const HEADERS: usize = 50;
/// The largest answer.
const LARGEST: usize = 1024 * 1024;

/// Why a call gave no answer. The texts are for the administrator who wrote the call.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutboundError {
    /// The address may not be called, or is none.
    #[error("{0}")]
    Refused(String),
    /// The server cannot be reached.
    #[error("{0}")]
    Connection(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// The answer is longer than we take.
    #[error("The answer is longer than {0} bytes.")]
    TooLong(usize),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A call.
#[derive(Debug)]
pub struct OutboundRequest {
    /// Verb.
    pub method: Method,
    /// Address.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Vec<u8>>,
    /// Time for everything; more than the general limit counts as that.
    pub timeout: Option<Duration>,
    /// Go where the server points to.
    pub follow_redirects: bool,
}

/// Adds the headers that a mapping gave: a dictionary of names and values.
///
/// # Errors
/// In words, when it is none or something in it cannot be sent.
pub fn add_headers(headers: &mut HeaderMap, given: &Value) -> Result<(), String> {
    let given = given.as_object().ok_or("The mapping of headers gave no dictionary")?;
    for (name, value) in given.iter().take(HEADERS) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
        // The value may be a secret: it is not repeated.
        let value = HeaderValue::from_str(&text).map_err(|_| format!("the value of {name} is none"))?;
        headers.insert(known, value);
    }
    Ok(())
}

/// An answer.
#[derive(Clone, Debug)]
pub struct OutboundResponse {
    /// Status code.
    pub status: u16,
    /// Its usual words.
    pub reason: String,
    /// Address after redirects.
    pub url: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// The client.
pub struct Outbound {
    addresses: Addresses,
    following: OnceLock<Option<Client>>,
    staying: OnceLock<Option<Client>>,
    unverified: OnceLock<Option<Client>>,
}

impl Outbound {
    /// A client that has connected to nothing yet.
    pub fn new(settings: OutboundSettings) -> Self {
        Self {
            addresses: Addresses(Arc::new(settings)),
            following: OnceLock::new(),
            staying: OnceLock::new(),
            unverified: OnceLock::new(),
        }
    }

    fn client(&self, follow: bool) -> Option<&Client> {
        let kept = if follow { &self.following } else { &self.staying };
        // The trust store is read when the first call is made, not at the start of the server.
        kept.get_or_init(|| self.build(follow, true)).as_ref()
    }

    fn build(&self, follow: bool, verify: bool) -> Option<Client> {
        let client = self.builder(follow, verify).build();
        client.inspect_err(|error| tracing::error!(%error, "the outbound client cannot be made")).ok()
    }

    fn builder(&self, follow: bool, verify: bool) -> reqwest::ClientBuilder {
        let addresses = self.addresses.clone();
        let policy = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                return attempt.error(format!("Exceeded {REDIRECTS} redirects."));
            }
            match check(attempt.url(), &addresses.0) {
                Ok(()) => attempt.follow(),
                Err(reason) => attempt.error(reason),
            }
        });
        Client::builder()
            .user_agent("Weir")
            .redirect(if follow { policy } else { redirect::Policy::none() })
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .no_proxy()
            .referer(false)
            .tls_danger_accept_invalid_certs(!verify)
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(Duration::from_secs(10))
            .dns_resolver(Arc::new(self.addresses.clone()))
    }

    /// Makes a call to a server whose certificate may be signed by these authorities too (PEM). The client is made for
    /// this call.
    ///
    /// # Errors
    /// As [`Outbound::send`], and for authorities that cannot be read.
    pub async fn send_trusting(
        &self,
        request: OutboundRequest,
        authorities: &[u8],
    ) -> Result<OutboundResponse, OutboundError> {
        check(&request.url, &self.addresses.0).map_err(OutboundError::Refused)?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let unreadable = |_| OutboundError::Other("The authority's certificate cannot be read.".to_owned());
        let found = reqwest::Certificate::from_pem_bundle(authorities).map_err(unreadable)?;
        let client = self.builder(request.follow_redirects, true).tls_certs_merge(found);
        self.send_with(Some(&client.build().map_err(unreadable)?), host, request).await
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no whole answer within the limits.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        check(&request.url, &self.addresses.0).map_err(OutboundError::Refused)?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let client = self.client(request.follow_redirects);
        self.send_with(client, host, request).await
    }

    /// Makes a call to a server that need not show a certificate that is trusted here, because an administrator said so.
    /// Redirects are not followed.
    ///
    /// # Errors
    /// As [`Outbound::send`].
    pub async fn send_unverified(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        check(&request.url, &self.addresses.0).map_err(OutboundError::Refused)?;
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let client = self.unverified.get_or_init(|| self.build(false, false)).as_ref();
        self.send_with(client, host, request).await
    }

    async fn send_with(
        &self,
        client: Option<&Client>,
        host: String,
        request: OutboundRequest,
    ) -> Result<OutboundResponse, OutboundError> {
        let client =
            client.ok_or_else(|| OutboundError::Other("Calls to other servers are not possible.".to_owned()))?;
        let mut call = client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            call = call.body(body);
        }
        if let Some(timeout) = request.timeout {
            call = call.timeout(timeout.min(TOTAL));
        }
        let mut response = call.send().await.map_err(|error| explain(&host, &error))?;
        let status = response.status();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let url = response.url().to_string();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| explain(&host, &error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(OutboundError::TooLong(LARGEST));
            }
            body.extend_from_slice(&chunk);
        }
        let reason = status.canonical_reason().unwrap_or_default().to_owned();
        Ok(OutboundResponse { status: status.as_u16(), reason, url, headers, body })
    }
}

/// The error in words; the chain below may hold what the resolver or the redirect rule said.
fn explain(host: &str, error: &reqwest::Error) -> OutboundError {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let cause = innermost.to_string();
    if error.is_timeout() {
        OutboundError::Timeout(format!("The call to {host} timed out."))
    } else if error.is_redirect() {
        OutboundError::Refused(cause)
    } else if error.is_connect() {
        OutboundError::Connection(format!("Connecting to {host} failed: {cause}"))
    } else {
        OutboundError::Other(format!("The call to {host} failed: {cause}"))
    }
}
