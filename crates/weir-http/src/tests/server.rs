//! Real connections.

use super::*;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

struct Running {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn run(router: Router, config: HttpConfig) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(crate::serve(vec![crate::Listener { tcp: listener, tls: None }], router, config, shutdown));
    Running { address, stop: Some(stop), task }
}

/// Sends bytes and reads until the other side closes, or for two seconds.
async fn talk(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const HEAD: &str = "GET /api/v3/root/config/ HTTP/1.1\r\nHost: h\r\n";

#[tokio::test]
async fn a_connection_is_served_and_limited() {
    let api = Api::start().await;
    let running = run(api.router.clone(), api.app.config.clone()).await;
    let good = talk(running.address, format!("{HEAD}Connection: close\r\n\r\n").as_bytes()).await;
    assert!(good.starts_with("HTTP/1.1 200 OK\r\n"), "{good}");
    let many: String = (0..101).map(|i| format!("X-{i}: 1\r\n")).collect();
    let many = talk(running.address, format!("{HEAD}{many}\r\n").as_bytes()).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let long = talk(running.address, format!("{HEAD}X: {}\r\n\r\n", "x".repeat(70_000)).as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    let garbage = talk(running.address, b"\x16\x03\x01nonsense\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    let post = "POST /api/v3/stages/dummy/ HTTP/1.1\r\nHost: h\r\n";
    let two = "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd";
    let two = talk(running.address, format!("{post}{two}").as_bytes()).await;
    assert!(two.starts_with("HTTP/1.1 400"), "{two}");
    let both = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let both = talk(running.address, format!("{post}{both}").as_bytes()).await;
    assert!(both.starts_with("HTTP/1.1 400") && both.contains("connection: close"), "{both}");
    let chunks = talk(running.address, format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n").as_bytes()).await;
    assert!(chunks.contains(" 403 ") || chunks.contains(" 400 "), "{chunks}");
}

#[tokio::test]
async fn a_header_that_does_not_come_ends_the_connection() {
    let api = Api::start().await;
    let config = HttpConfig { header_timeout_secs: 1, ..HttpConfig::default() };
    let running = run(api.router.clone(), config).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is still open");
    // Neither does one stay that says nothing at all, or nothing more.
    assert_eq!(idle(running.address, b"").await, "");
    let after = idle(running.address, format!("{HEAD}\r\n").as_bytes()).await;
    assert!(after.starts_with("HTTP/1.1 200"), "{after}");
}

/// What a connection answers until the other side closes it.
async fn idle(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is still open");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_refused() {
    let config = HttpConfig { body_timeout_secs: 1, ..HttpConfig::default() };
    let api = Api::with(config.clone()).await;
    let running = run(api.router.clone(), config).await;
    let head = format!(
        "POST /api/v3/stages/dummy/ HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Length: 10\r\n\r\n{{",
        api.admin.key
    );
    let answer = talk(running.address, head.as_bytes()).await;
    assert!(answer.contains("did not arrive in time"), "{answer}");
}

#[tokio::test]
async fn running_requests_finish_before_the_end() {
    let api = Api::start().await;
    let slow = Router::new().route(
        "/slow",
        axum::routing::get(|| async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            "done"
        }),
    );
    let mut running = run(api.router.clone().merge(slow), HttpConfig::default()).await;
    let address = running.address;
    let asking = tokio::spawn(async move { talk(address, b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await });
    let idle = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop.take().unwrap().send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), running.task).await;
    assert!(ended.is_ok(), "an idle connection must not hold the server up");
    assert!(asking.await.unwrap().ends_with("done"));
    drop(idle);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_panic_is_one_500_and_nothing_more() {
    let api = Api::start().await;
    let bad = Router::new().route("/panic", axum::routing::get(|| async { panic!("secret text") as () }));
    let router = crate::edge::wrap(&api.app, bad);
    let request = Request::builder().uri("/panic").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let id = response.headers()["x-authentik-id"].clone();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("Internal error") && !text.contains("secret"), "{text}");
    assert_eq!(id.len(), 32);
}
