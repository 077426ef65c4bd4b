//! Certificates of clients as proxies pass them on: three headers of proxies, one of outposts.
//!
//! Only the certificate whose key was proven is worth anything: the first of each header. Whatever follows it came from
//! the client without any proof and only helps to complete its chain. A header that cannot be read counts as a
//! certificate that does not verify.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use weir_pki::pem;
use weir_policy::request::{PresentedCertificate, Presenter};

const ENVOY: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const NGINX: HeaderName = HeaderName::from_static("ssl-client-cert");
const TRAEFIK: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert");
/// The header of outposts.
pub(crate) const OUTPOST: HeaderName = HeaderName::from_static("x-authentik-outpost-certificate");

/// Headers that only a trusted proxy may send.
pub(crate) const OF_PROXIES: [HeaderName; 3] = [ENVOY, NGINX, TRAEFIK];

/// Most elements of a header that are looked at.
const MAX_ELEMENTS: usize = 16;

/// What a trusted proxy passed on, header by header.
pub(crate) fn of_proxy(headers: &HeaderMap) -> Vec<PresentedCertificate> {
    let chains = envoy(headers).into_iter().chain(nginx(headers)).chain(traefik(headers));
    chains.map(|chain| PresentedCertificate { chain, by: Presenter::Proxy }).collect()
}

/// What an outpost passed on.
pub(crate) fn of_outpost(headers: &HeaderMap) -> Vec<PresentedCertificate> {
    let chain = escaped(headers, &OUTPOST);
    chain.map(|chain| PresentedCertificate { chain, by: Presenter::Outpost }).into_iter().collect()
}

/// The client's certificate of a TLS connection as a proxy would pass it on.
pub(crate) fn as_header(der: &[u8]) -> Option<HeaderValue> {
    let text = utf8_percent_encode(&pem::wrap("CERTIFICATE", der), NON_ALPHANUMERIC).to_string();
    HeaderValue::from_str(&format!("Cert=\"{text}\"")).ok()
}

type Chain = Vec<Vec<u8>>;

/// The certificates of a PEM text behind percent-encoding; empty when it cannot be read.
fn chain_of(text: &str) -> Chain {
    let decoded = percent_decode_str(text.trim()).decode_utf8();
    let chain = decoded.ok().and_then(|text| pem::certificates(&text).ok()).unwrap_or_default();
    chain.iter().map(|certificate| certificate.to_vec()).collect()
}

/// A header with one escaped PEM text. Two of its kind contradict each other.
fn escaped(headers: &HeaderMap, name: &HeaderName) -> Option<Chain> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return Some(Chain::new());
    }
    let text = first.to_str().unwrap_or("?");
    // What nginx sends for clients without a certificate.
    (!text.trim().is_empty()).then(|| chain_of(text))
}

fn nginx(headers: &HeaderMap) -> Option<Chain> {
    escaped(headers, &NGINX)
}

/// One element for each proxy on the way; of its pairs `Cert` is the certificate and `Chain` what it came with.
fn envoy(headers: &HeaderMap) -> Vec<Chain> {
    let lines = headers.get_all(ENVOY).iter().map(|value| value.to_str().unwrap_or("?"));
    let elements = lines.flat_map(|line| split(line, ',')).filter(|element| !element.trim().is_empty());
    elements.take(MAX_ELEMENTS).filter_map(|element| envoy_element(&element)).collect()
}

/// None for an element about a client without a certificate, e.g. with only `By`.
fn envoy_element(element: &str) -> Option<Chain> {
    let (mut own, mut others, mut readable) = (None, Chain::new(), true);
    for pair in split(element, ';').into_iter().filter(|pair| !pair.trim().is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            readable = false;
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "cert" if own.is_some() => readable = false,
            "cert" => own = Some(chain_of(value)),
            "chain" => others = chain_of(value),
            _ => {}
        }
    }
    if !readable {
        return Some(Chain::new());
    }
    let mut chain = own?;
    if !chain.is_empty() {
        chain.extend(others);
    }
    Some(chain)
}

/// Bare base64 of DER: the client's certificate, then what it came with.
fn traefik(headers: &HeaderMap) -> Option<Chain> {
    let mut values = headers.get_all(TRAEFIK).iter();
    let first = values.next()?.to_str().unwrap_or("?");
    if first.trim().is_empty() {
        return None;
    }
    if values.next().is_some() {
        return Some(Chain::new());
    }
    let certificates = first.split(',').take(MAX_ELEMENTS).map(|text| STANDARD.decode(text.trim()));
    Some(certificates.collect::<Result<Chain, _>>().unwrap_or_default())
}

/// The parts of a text between separators that do not stand inside quotation marks.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut part, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    parts
}
