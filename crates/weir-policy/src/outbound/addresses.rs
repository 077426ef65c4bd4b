//! Which addresses may be called.

use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use url::Host;

/// Settings of calls to other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundSettings {
    /// Networks that may be called although they are link-local or serve cloud metadata.
    pub allowed_cidrs: Vec<IpNet>,
}

impl OutboundSettings {
    /// Whether an address may be called.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed_cidrs.iter().any(|net| net.contains(&address)) || !is_special(address)
    }
}

/// Link-local addresses, and the fixed ones under which clouds hand out credentials.
fn is_special(address: IpAddr) -> bool {
    const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.is_multicast() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            let inside = |prefix: u16| embedded(v6, prefix).is_some_and(|v4| is_special(IpAddr::V4(v4)));
            v6.is_unicast_link_local() || v6.is_multicast() || v6 == METADATA_V6 || inside(0x64) || inside(0x2002)
        }
    }
}

/// The IPv4 address inside of one of the translation prefixes 64:ff9b::/96 and 2002::/16.
fn embedded(v6: Ipv6Addr, prefix: u16) -> Option<Ipv4Addr> {
    let [first, second, third, _, _, _, seventh, eighth] = v6.segments();
    let (high, low) = match (prefix, first, second) {
        (0x64, 0x64, 0xff9b) => (seventh, eighth),
        (0x2002, 0x2002, _) => (second, third),
        _ => return None,
    };
    Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

/// Refuses other schemes, and hosts that are a refused address as such. Names are judged when they are resolved.
pub fn check(url: &Url, settings: &OutboundSettings) -> Result<(), String> {
    if !["http", "https"].contains(&url.scheme()) {
        return Err(format!("No connection adapters were found for '{}:'.", url.scheme()));
    }
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        Some(Host::Domain(_)) => None,
        None => return Err("The address names no host.".to_owned()),
    };
    match address {
        Some(address) if !settings.allows(address) => Err(refusal(&address.to_string())),
        _ => Ok(()),
    }
}

fn refusal(host: &str) -> String {
    format!("Calls to {host} are not allowed.")
}

/// Resolves names to addresses that may be called.
#[derive(Clone)]
pub struct Addresses(pub Arc<OutboundSettings>);

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let settings = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(|a| settings.allows(a.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(refusal(name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
