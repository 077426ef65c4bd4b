//! Certificates of clients: who may say whose they are, in which words, and TLS of our own.

use super::*;
use crate::{
    Incoming, Listener, Secured, Tls,
    caller::Via,
    tls::{Authorities, ServerKey, Surroundings},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{sync::Mutex, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::TlsConnector;
use weir_pki::{Algorithm, SelfSigned, Wish, pem, self_signed};
use weir_policy::request::{PresentedCertificate, Presenter};

fn made(name: &str) -> SelfSigned {
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let wish = Wish {
        common_name: name,
        names: vec![format!("{name}.example.org")],
        not_before: now - TimeDelta::days(1000),
        not_after: now + TimeDelta::days(1000),
        algorithm: Algorithm::Ecdsa,
        is_server: true,
        random: [7; 73],
    };
    self_signed(&wish).unwrap()
}

fn der(text: &str) -> Vec<u8> {
    pem::certificates(text).unwrap()[0].to_vec()
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

const TRUSTED: &str = "10.0.0.1:5000";
const STRANGER: &str = "192.0.2.7:5000";

/// The request as it is understood.
fn incoming(peer: &str, headers: &[(&str, &str)], secured: Option<&[Vec<u8>]>) -> Incoming {
    let mut request = Request::builder().uri("/").header("host", "id.example.org");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    parts.extensions.insert(Peer(peer.parse().unwrap()));
    if let Some(chain) = secured {
        parts.extensions.insert(Secured(chain.into()));
    }
    Incoming::new(&parts, String::new(), &HttpConfig::default())
}

fn by_proxy(chains: &[&[Vec<u8>]]) -> Vec<PresentedCertificate> {
    chains.iter().map(|chain| PresentedCertificate { chain: chain.to_vec(), by: Presenter::Proxy }).collect()
}

#[test]
fn each_proxy_has_words_of_its_own() {
    let (ann, ca) = (made("ann").certificate, made("ca").certificate);
    let (ann_der, ca_der) = (der(&ann), der(&ca));
    let (ann_base64, ca_base64) = (STANDARD.encode(&ann_der), STANDARD.encode(&ca_der));
    let chain: &[Vec<u8>] = &[ann_der, ca_der];
    let alone: &[Vec<u8>] = &chain[..1];
    let (ann, both) = (escape(&ann), escape(&format!("{ann}{ca}")));
    let ca = escape(&ca);
    for (name, value, expected) in [
        ("ssl-client-cert", ann.clone(), vec![alone]),
        ("ssl-client-cert", both, vec![chain]),
        ("ssl-client-cert", String::new(), vec![]),
        ("ssl-client-cert", "(null)".to_owned(), vec![&[][..]]),
        ("ssl-client-cert", "%00%FF".to_owned(), vec![&[][..]]),
        ("x-forwarded-tls-client-cert", ann_base64.clone(), vec![alone]),
        ("x-forwarded-tls-client-cert", format!("{ann_base64},{ca_base64}"), vec![chain]),
        ("x-forwarded-tls-client-cert", format!("{ann_base64},!"), vec![&[][..]]),
        ("x-forwarded-client-cert", format!("Cert={ann}"), vec![alone]),
        (
            "x-forwarded-client-cert",
            format!("By=spiffe://x;Hash=1;Subject=\"CN=a;b,c\\\"\";CERT=\"{ann}\""),
            vec![alone],
        ),
        ("x-forwarded-client-cert", format!("Cert=\"{ann}\";Chain=\"{ca}\""), vec![chain]),
        ("x-forwarded-client-cert", format!("Cert={ann},By=x,Cert={ca};Hash=2"), vec![alone, &chain[1..]]),
        ("x-forwarded-client-cert", format!("Cert={ann};Cert={ca}"), vec![&[][..]]),
        ("x-forwarded-client-cert", "Cert=nonsense".to_owned(), vec![&[][..]]),
        ("x-forwarded-client-cert", "nonsense".to_owned(), vec![&[][..]]),
        ("x-forwarded-client-cert", format!("nonsense;Cert={ann}"), vec![&[][..]]),
        ("x-forwarded-client-cert", "Hash=1;By=x".to_owned(), vec![]),
    ] {
        let found = incoming(TRUSTED, &[(name, &value)], None);
        assert_eq!(found.certificates, by_proxy(&expected), "{name}: {value}");
    }
    let twice = incoming(TRUSTED, &[("ssl-client-cert", &ann), ("ssl-client-cert", &ca)], None);
    assert_eq!(twice.certificates, by_proxy(&[&[]]), "two that contradict each other are none");
    let all = incoming(
        TRUSTED,
        &[
            ("x-forwarded-tls-client-cert", &ca_base64),
            ("ssl-client-cert", &ca),
            ("x-forwarded-client-cert", &format!("Cert={ann}")),
        ],
        None,
    );
    assert_eq!(all.certificates, by_proxy(&[alone, &chain[1..], &chain[1..]]), "in a fixed order");
}

#[test]
fn only_trusted_proxies_are_believed() {
    let ann = made("ann").certificate;
    let (escaped, base64) = (escape(&ann), STANDARD.encode(der(&ann)));
    let headers = [
        ("x-forwarded-client-cert", format!("Cert={escaped}")),
        ("ssl-client-cert", escaped),
        ("x-forwarded-tls-client-cert", base64),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for peer in [TRUSTED, "127.0.0.1:1", "[::1]:1", "192.168.1.1:1", "172.16.0.1:1", "[fe80::1]:1"] {
        assert_eq!(incoming(peer, &headers, None).certificates.len(), 3, "{peer}");
    }
    for peer in [STRANGER, "172.32.0.1:1", "[2001:db8::1]:1", "11.0.0.1:1"] {
        let found = incoming(peer, &headers, None);
        assert!(found.certificates.is_empty(), "{peer}");
        let info = found.info(found.client_ip, None);
        assert!(
            info.certificates.is_empty() && info.headers.iter().all(|(name, _)| name == "host"),
            "{peer}: stripped"
        );
    }
}

#[test]
fn the_certificate_of_a_connection_is_the_clients_unless_a_proxy_forwards() {
    let (ann, proxy) = (made("ann").certificate, made("proxy").certificate);
    let own = [der(&ann), der(&made("ca").certificate)];
    let escaped = escape(&ann);
    for peer in [STRANGER, TRUSTED] {
        let found = incoming(peer, &[], Some(&own));
        assert!(found.is_secure);
        assert_eq!(found.certificates, [PresentedCertificate { chain: own.to_vec(), by: Presenter::Connection }]);
        let header = found.header("x-forwarded-client-cert").unwrap().to_owned();
        let again = incoming(TRUSTED, &[("x-forwarded-client-cert", &header)], None);
        assert_eq!(again.certificates, by_proxy(&[&own[..1]]), "as a proxy would say it");
    }
    let spoofed = incoming(STRANGER, &[("ssl-client-cert", &escaped), ("x-forwarded-for", "10.0.0.2")], Some(&[]));
    assert!(spoofed.is_secure && spoofed.certificates.is_empty());
    let proxys = [der(&proxy)];
    let forwarded = incoming(TRUSTED, &[("x-forwarded-for", "192.0.2.9")], Some(&proxys));
    assert!(forwarded.certificates.is_empty(), "the certificate is the proxy's own");
    let passed = incoming(TRUSTED, &[("ssl-client-cert", &escaped)], Some(&proxys));
    assert_eq!(passed.certificates, by_proxy(&[&own[..1]]));
}

#[tokio::test]
async fn the_header_of_outposts_needs_an_outposts_token() {
    let api = Api::start().await;
    let body = json!({"username": "outpost", "name": "outpost", "type": "internal_service_account"});
    let outpost: i64 = api.make::<User>(body).await.parse().unwrap();
    let mut unit = Unit::new(&api.app.site, Actor::system());
    let (_, key) = token::mint(&mut unit, NewToken::new("outpost", outpost, Intent::Api)).await.unwrap();
    unit.commit().await.unwrap();
    let ann = made("ann").certificate;
    for (key, expected) in [(key.as_str(), 1), (api.admin.key.as_str(), 0), ("nonsense", 0), ("", 0)] {
        for peer in [STRANGER, TRUSTED] {
            let headers = [("x-authentik-outpost-token", key), ("x-authentik-outpost-certificate", &escape(&ann))];
            let request = incoming(peer, &headers, None);
            let caller = crate::Caller::resolve(&api.app, &request).await.unwrap();
            assert!(matches!(caller.via, Via::Anonymous));
            let info = caller.info(&request, &api.app.site.snapshot());
            let shown = PresentedCertificate { chain: vec![der(&ann)], by: Presenter::Outpost };
            assert_eq!(info.certificates, vec![shown; expected], "{key}");
            assert_eq!(info.header("x-authentik-outpost-certificate"), None);
        }
    }
}

/// What tests want of the listener.
#[derive(Default)]
struct Wanted {
    asks_for: Mutex<Option<Authorities>>,
    keys: Vec<(String, ServerKey)>,
}

impl Surroundings for Wanted {
    fn find_key(&self, host: &str) -> Option<ServerKey> {
        self.keys.iter().find(|(name, _)| name == host).map(|(_, key)| key.clone())
    }
    fn asks_for(&self) -> Option<Authorities> {
        self.asks_for.lock().unwrap().clone()
    }
}

/// A client that believes every server and remembers what it showed.
#[derive(Debug, Default)]
struct Credulous(Mutex<Vec<u8>>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A listener whose only page tells the number of certificates and whether the request was secure.
struct Running {
    address: std::net::SocketAddr,
    tls: Arc<Tls>,
    wanted: Arc<Wanted>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn run(config: HttpConfig, wanted: Wanted, server: &SelfSigned) -> Running {
    let wanted = Arc::new(wanted);
    let key = ServerKey::read(&server.certificate, &server.key).unwrap();
    let tls = Arc::new(Tls::new(key, Arc::clone(&wanted) as Arc<dyn Surroundings>).unwrap());
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let page = |request: axum::extract::Request| async move {
        let (parts, _) = request.into_parts();
        let incoming = Incoming::new(&parts, String::new(), &HttpConfig::default());
        format!("{} {} {}", incoming.certificates.len(), incoming.is_secure, parts.uri)
    };
    let router = Router::new().fallback(axum::routing::any(page));
    let listeners = vec![Listener { tcp, tls: Some(Arc::clone(&tls)) }];
    let task = tokio::spawn(crate::serve(listeners, router, config, async { drop(stopped.await) }));
    Running { address, tls, wanted, stop: Some(stop), task }
}

impl Running {
    /// The page as a client with or without a certificate sees it, and the certificate of the server.
    async fn ask(&self, host: &str, client: Option<&SelfSigned>) -> (String, Vec<u8>) {
        let verifier = Arc::new(Credulous::default());
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty());
        let mut config = match client {
            None => config.with_no_client_auth(),
            Some(own) => {
                let chain = pem::certificates(&own.certificate).unwrap();
                config.with_client_auth_cert(chain, pem::private_key(&own.key).unwrap()).unwrap()
            }
        };
        config.dangerous().set_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let shown = verifier.0.lock().unwrap().clone();
        let body = String::from_utf8_lossy(&answer).rsplit("\r\n\r\n").next().unwrap().to_owned();
        (body, shown)
    }
}

#[tokio::test]
async fn the_listener_asks_for_certificates_only_while_somebody_wants_them() {
    let (server, ann) = (made("server"), made("ann"));
    let running = run(HttpConfig::default(), Wanted::default(), &server).await;
    assert_eq!(running.ask("h", Some(&ann)).await.0, "0 true /x");
    *running.wanted.asks_for.lock().unwrap() = Some(Authorities::default());
    assert_eq!(running.ask("h", Some(&ann)).await.0, "1 true /x");
    assert_eq!(running.ask("h", None).await.0, "0 true /x", "nobody must have one");
    // Only certificates of a named authority are asked for: the client has none of that name.
    *running.wanted.asks_for.lock().unwrap() = Some(Arc::new(vec![b"\x31\x00".to_vec()]));
    assert_eq!(running.ask("h", None).await.0, "0 true /x");
    *running.wanted.asks_for.lock().unwrap() = None;
    assert_eq!(running.ask("h", Some(&ann)).await.0, "0 true /x");
}

#[tokio::test]
async fn hosts_have_certificates_of_their_own_and_the_usual_one_can_be_replaced() {
    let (server, brand, new) = (made("server"), made("brand"), made("new"));
    let key = ServerKey::read(&brand.certificate, &brand.key).unwrap();
    let wanted = Wanted { keys: vec![("brand.example.org".to_owned(), key)], ..Wanted::default() };
    let running = run(HttpConfig::default(), wanted, &server).await;
    assert_eq!(running.ask("h", None).await.1, der(&server.certificate));
    assert_eq!(running.ask("brand.example.org", None).await.1, der(&brand.certificate));
    running.tls.replace(ServerKey::read(&new.certificate, &new.key).unwrap());
    assert_eq!(running.ask("h", None).await.1, der(&new.certificate));
    let mixed = ServerKey::read(&new.certificate, &server.key).unwrap_err();
    assert!(format!("{mixed:#}").contains("the certificate and its key"), "{mixed:#}");
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_dropped() {
    let config = HttpConfig { header_timeout_secs: 1, max_connections: 2, ..HttpConfig::default() };
    let mut running = run(config, Wanted::default(), &made("server")).await;
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\x00\x05"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection is still open");
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP/"), "nothing is served in the clear");
    }
    // Both places are free again.
    assert_eq!(running.ask("h", None).await.0, "0 true /x");
    let waiting = TcpStream::connect(running.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.stop.take().unwrap().send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_millis(900), running.task).await;
    assert!(ended.is_ok(), "a handshake that does not come must not hold the server up");
    drop(waiting);
}
