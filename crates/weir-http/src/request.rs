//! The facts of a request, worked out once: id, true client address, scheme, host, query.

use crate::{HttpConfig, Secured, client_certificate};
use http::{HeaderMap, request::Parts};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use url::form_urlencoded;
use uuid::Uuid;
use weir_policy::{
    RequestInfo,
    request::{PresentedCertificate, Presenter},
};

/// The address of the other end of the connection; put into each request by the server.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A request without its body.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// 32 hexadecimal digits; stands in `X-authentik-id`, log lines and error pages.
    pub id: String,
    /// Method, upper case.
    pub method: String,
    /// Path as sent, without query.
    pub path: String,
    /// Query parameters in order, decoded.
    pub query: Vec<(String, String)>,
    /// All headers.
    pub headers: HeaderMap,
    /// The client, behind trusted proxies.
    pub client_ip: IpAddr,
    /// The request came over TLS, here or at a trusted proxy.
    pub is_secure: bool,
    /// Host as the client wrote it, with port.
    pub host: String,
    /// Certificates shown for the client by its connection or by a trusted proxy.
    pub certificates: Vec<PresentedCertificate>,
    /// See [`Incoming::note_moved`].
    moved: Arc<AtomicBool>,
}

/// Headers by which a proxy says that it forwards.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

impl Incoming {
    /// Reads a request's head.
    pub fn new(parts: &Parts, id: String, config: &HttpConfig) -> Self {
        // Without a known peer nothing is trusted.
        let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::BROADCAST), |p| p.0.ip().to_canonical());
        let headers = &parts.headers;
        let trusted = config.is_trusted(peer);
        let first = |name: &str| {
            let value = headers.get(name).filter(|_| trusted)?.to_str().ok()?;
            Some(value.split(',').next().unwrap_or_default().trim())
        };
        let own_host =
            headers.get("host").and_then(|h| h.to_str().ok()).or_else(|| parts.uri.authority().map(|a| a.as_str()));
        let secured = parts.extensions.get::<Secured>();
        let (headers, certificates) = certificates(headers, trusted, secured);
        let host = first("x-forwarded-host").filter(|h| is_host(h)).or(own_host.filter(|h| is_host(h)));
        Self {
            id,
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts
                .uri
                .query()
                .map(|q| form_urlencoded::parse(q.as_bytes()).into_owned().collect())
                .unwrap_or_default(),
            client_ip: if trusted { client(&parts.headers, peer, config) } else { peer },
            is_secure: secured.is_some() || first("x-forwarded-proto").is_some_and(|p| p.eq_ignore_ascii_case("https")),
            host: host.unwrap_or("localhost").to_owned(),
            headers,
            certificates,
            moved: Arc::default(),
        }
    }

    /// Notes that the session of this request ended because its client moved.
    pub fn note_moved(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Whether that was noted.
    pub fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed)
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Cookies in order; the first of a name counts.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.headers.get_all(http::header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
        lines.flat_map(|line| line.split(';')).filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim(), value.trim().trim_matches('"')))
        })
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// A query parameter; the last one counts.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Scheme and host.
    pub fn base_url(&self) -> String {
        format!("{}://{}", if self.is_secure { "https" } else { "http" }, self.host)
    }

    /// The `User-Agent`.
    pub fn user_agent(&self) -> &str {
        self.header("user-agent").unwrap_or_default()
    }

    /// Neither GET, HEAD, OPTIONS nor TRACE.
    pub fn is_unsafe(&self) -> bool {
        !["GET", "HEAD", "OPTIONS", "TRACE"].contains(&self.method.as_str())
    }

    /// The facts that flows and policies may look at: no credentials.
    pub fn info(&self, client_ip: IpAddr, brand: Option<Uuid>) -> RequestInfo {
        const HIDDEN: [&str; 6] = [
            "authorization",
            "cookie",
            "proxy-authorization",
            "x-authentik-csrf",
            "x-authentik-outpost-certificate",
            "x-authentik-outpost-token",
        ];
        let headers = self.headers.iter().filter(|(name, _)| !HIDDEN.contains(&name.as_str()));
        RequestInfo {
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers: headers.filter_map(|(n, v)| Some((n.as_str().to_owned(), v.to_str().ok()?.to_owned()))).collect(),
            client_ip: client_ip.to_string(),
            user_agent: self.user_agent().to_owned(),
            request_id: self.id.clone(),
            host: self.host.clone(),
            is_secure: self.is_secure,
            brand,
            certificates: self.certificates.clone(),
            cookies: self
                .cookies()
                .filter(|(name, _)| {
                    name.starts_with("authentik_") && *name != crate::session::COOKIE && *name != crate::csrf::COOKIE
                })
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            ..RequestInfo::default()
        }
    }
}

/// The headers without certificates that nobody vouches for, and the certificates that somebody does.
fn certificates(
    headers: &HeaderMap,
    trusted: bool,
    secured: Option<&Secured>,
) -> (HeaderMap, Vec<PresentedCertificate>) {
    let mut own = headers.clone();
    let by_proxy = client_certificate::OF_PROXIES.iter().any(|name| headers.contains_key(name));
    let forwarded = by_proxy || FORWARDING.iter().any(|name| headers.contains_key(*name));
    if trusted && forwarded {
        // The certificate of the connection is then the proxy's own, and says nothing about its client.
        return (own, client_certificate::of_proxy(headers));
    }
    for name in &client_certificate::OF_PROXIES {
        own.remove(name);
    }
    let mut found = Vec::new();
    if let Some(chain) = secured.map(|secured| secured.0.to_vec()).filter(|chain| !chain.is_empty()) {
        if let Some(value) = chain.first().and_then(|der| client_certificate::as_header(der)) {
            own.insert("x-forwarded-client-cert", value);
        }
        found.push(PresentedCertificate { chain, by: Presenter::Connection });
    }
    (own, found)
}

/// The last address of the chain that is no trusted proxy; what cannot be read ends the search at the hop before.
fn client(headers: &HeaderMap, peer: IpAddr, config: &HttpConfig) -> IpAddr {
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect();
    let mut client = peer;
    for hop in hops.iter().rev() {
        let Some(address) = address(hop) else { break };
        client = address;
        if !config.is_trusted(address) {
            break;
        }
    }
    client
}

/// An address with or without port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_matches('"');
    bare.parse::<IpAddr>()
        .or_else(|_| bare.parse::<SocketAddr>().map(|a| a.ip()))
        .or_else(|_| bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>())
        .ok()
        .map(|ip| ip.to_canonical())
}

/// Name or address with an optional port: nothing that could leave its place in a URL.
fn is_host(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.len() <= 255 && text.chars().all(good)
}
