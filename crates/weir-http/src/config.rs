//! Limits and trust of the HTTP side.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Settings of the HTTP side. Each has the default of the specification.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Largest uploaded file with its form.
    pub max_upload_bytes: usize,
    /// Largest header block.
    pub max_header_bytes: usize,
    /// Most header fields.
    pub max_header_fields: usize,
    /// Deepest JSON.
    pub max_json_depth: usize,
    /// Most fields of a form.
    pub max_form_fields: usize,
    /// Time in which a request's header must arrive.
    pub header_timeout_secs: u64,
    /// Time in which a request's body must arrive.
    pub body_timeout_secs: u64,
    /// Time that running requests get when the server stops.
    pub shutdown_timeout_secs: u64,
    /// Most connections at a time; further ones wait to be accepted.
    pub max_connections: usize,
    /// Peers whose forwarding headers count.
    pub trusted_proxy_cidrs: Vec<IpNet>,
    /// Domain of the session cookie; none binds it to the host.
    pub cookie_domain: Option<String>,
    /// Prefix of all paths, `/` for none.
    pub path_prefix: String,
    /// Life of cached flow plans, as told in `root/config/`.
    pub cache_timeout_flows_secs: u64,
    /// Life of cached policy results, as told in `root/config/`.
    pub cache_timeout_policies_secs: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        let trusted =
            ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fe80::/10", "::1/128", "fc00::/7"];
        Self {
            max_body_bytes: 1 << 20,
            max_upload_bytes: 8 << 20,
            max_header_bytes: 64 << 10,
            max_header_fields: 100,
            max_json_depth: weir_core::limits::JSON_DEPTH,
            max_form_fields: 1000,
            header_timeout_secs: 30,
            body_timeout_secs: 60,
            shutdown_timeout_secs: 30,
            max_connections: 10_000,
            trusted_proxy_cidrs: trusted.iter().filter_map(|cidr| cidr.parse().ok()).collect(),
            cookie_domain: None,
            path_prefix: "/".to_owned(),
            cache_timeout_flows_secs: 300,
            cache_timeout_policies_secs: 300,
        }
    }
}

impl HttpConfig {
    /// Whether forwarding headers of this peer count.
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxy_cidrs.iter().any(|net| net.contains(&peer))
    }

    /// The prefix without slash at its end; empty for none.
    pub fn prefix(&self) -> String {
        let inner = self.path_prefix.trim_matches('/');
        if inner.is_empty() { String::new() } else { format!("/{inner}") }
    }
}
