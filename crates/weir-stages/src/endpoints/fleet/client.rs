//! Fleet's interface (REST API, "List hosts"): pages of hosts, each with its software and the people who use it.

use anyhow::{Result, anyhow, bail};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use std::time::Duration;
use url::Url;
use weir_policy::outbound::{Outbound, OutboundError, OutboundRequest};

/// Hosts of a page. A power of two: a page that is too long is asked for again in halves.
const PAGE: usize = 64;
/// More pages than any Fleet server has; ends a server that never does.
const MOST_PAGES: usize = 100_000;
/// Time for one page.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest part of a refusal that is repeated, characters.
const QUOTED: usize = 300;

/// The address of a path below the server's.
pub(super) fn address(server: &str, query: &[(&str, &str)]) -> Result<Url, String> {
    let bad = || "Enter a valid URL.".to_owned();
    let mut url = Url::parse(server.trim()).map_err(|_| bad())?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(bad());
    }
    if !url.username().is_empty() || url.password().is_some() {
        // It would stand in every answer about the connector.
        return Err("The address must not hold a password.".to_owned());
    }
    let path = format!("{}/api/v1/fleet/hosts", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    url.set_query(None);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

/// The header that says who asks.
pub(super) fn authorization(token: &str) -> Result<HeaderValue, String> {
    let bad = |_| "The token cannot be sent in a header.".to_owned();
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(bad)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Asks one Fleet server for all its hosts, page by page.
pub(super) struct Hosts<'a> {
    outbound: &'a Outbound,
    server: &'a str,
    headers: HeaderMap,
    /// Hosts that were given so far.
    offset: usize,
    per_page: usize,
    /// A single host was too long with its software.
    without_software: bool,
    pages: usize,
    is_over: bool,
    /// The first host of the page before.
    first: Option<Value>,
}

impl<'a> Hosts<'a> {
    /// Nothing is asked yet. The headers are sent besides the token.
    pub(super) fn new(outbound: &'a Outbound, server: &'a str, token: &str, mut headers: HeaderMap) -> Result<Self> {
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, authorization(token).map_err(|text| anyhow!(text))?);
        let (offset, per_page, pages) = (0, PAGE, 0);
        let (without_software, is_over, first) = (false, false, None);
        Ok(Self { outbound, server, headers, offset, per_page, without_software, pages, is_over, first })
    }

    /// The next hosts; none after the last.
    ///
    /// # Errors
    /// In words for the administrator, without the token.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Value>>> {
        while !self.is_over {
            self.pages += 1;
            if self.pages > MOST_PAGES {
                bail!("Fleet's list of hosts does not end.");
            }
            let Some(hosts) = self.ask().await? else { continue };
            let first = hosts.first().and_then(|host| host.get("id")).cloned();
            if first.is_some() && first == self.first {
                bail!("Fleet gives the same hosts on every page.");
            }
            self.first = first;
            self.is_over = hosts.len() < self.per_page;
            self.offset += self.per_page;
            // Only this page was too long.
            self.without_software = false;
            while self.per_page < PAGE && self.offset.is_multiple_of(self.per_page * 2) {
                self.per_page *= 2;
            }
            return Ok((!hosts.is_empty()).then_some(hosts));
        }
        Ok(None)
    }

    /// One page; none when it was too long and a smaller one is to be asked for.
    async fn ask(&mut self) -> Result<Option<Vec<Value>>> {
        let software = if self.without_software { "false" } else { "true" };
        let (page, per_page) = ((self.offset / self.per_page).to_string(), self.per_page.to_string());
        let query = [
            ("page", page.as_str()),
            ("per_page", per_page.as_str()),
            ("order_key", "id"),
            ("order_direction", "asc"),
            ("device_mapping", "true"),
            ("populate_software", software),
            ("populate_users", "true"),
        ];
        let request = OutboundRequest {
            method: Method::GET,
            url: address(self.server, &query).map_err(|text| anyhow!(text))?,
            headers: self.headers.clone(),
            body: None,
            timeout: Some(PATIENCE),
            // It would carry the token elsewhere.
            follow_redirects: false,
        };
        let answer = match self.outbound.send(request).await {
            Ok(answer) => answer,
            Err(OutboundError::TooLong(_)) if self.per_page > 1 => {
                self.per_page /= 2;
                return Ok(None);
            }
            Err(OutboundError::TooLong(_)) if !self.without_software => {
                self.without_software = true;
                return Ok(None);
            }
            Err(error) => bail!("Fleet cannot be asked: {error}"),
        };
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        if answer.status != 200 {
            bail!("Fleet answered {}{}", answer.status, said(body.as_ref()));
        }
        match body.as_ref().and_then(|body| body.get("hosts")) {
            Some(Value::Array(hosts)) if hosts.len() <= self.per_page => Ok(Some(hosts.clone())),
            Some(Value::Array(_)) => bail!("Fleet answered with more hosts than it was asked for."),
            // An empty list is written in both ways.
            Some(Value::Null) => Ok(Some(Vec::new())),
            _ => bail!("Fleet answered with something that is no list of hosts."),
        }
    }
}

/// What a refusal says of itself.
fn said(body: Option<&Value>) -> String {
    let reason = |body: &Value| body.get("errors")?.get(0)?.get("reason")?.as_str().map(str::to_owned);
    let message = |body: &Value| body.get("message")?.as_str().map(str::to_owned);
    let text = body.and_then(|body| reason(body).or_else(|| message(body))).unwrap_or_default();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect();
    if text.is_empty() { ".".to_owned() } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_address_is_below_the_servers_whatever_stands_behind_it() {
        for server in ["https://fleet.example/x", "https://fleet.example/x/", "https://fleet.example/x/?a=b#c"] {
            assert_eq!(
                address(server, &[("page", "0")]).unwrap().as_str(),
                "https://fleet.example/x/api/v1/fleet/hosts?page=0"
            );
        }
        for bad in ["", "fleet.example", "ftp://fleet.example", "file:///etc", "https://", "https://a:b@fleet.example"]
        {
            assert!(address(bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_are_told_in_one_line() {
        let body = json!({"message": "Validation Failed", "errors": [{"name": "base", "reason": "a\nb"}]});
        assert_eq!(said(Some(&body)), ": a b");
        assert_eq!(said(Some(&json!({"message": "no"}))), ": no");
        assert_eq!((said(Some(&json!([]))), said(None)), (".".to_owned(), ".".to_owned()));
    }
}
