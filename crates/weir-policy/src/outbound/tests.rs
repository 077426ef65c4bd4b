//! The rules of outbound calls, against a small server of our own.

use super::{Outbound, OutboundError, OutboundRequest, OutboundSettings, addresses::check};
use reqwest::{Method, Url, header::HeaderMap};
use std::{net::IpAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers by path: `/go/<n>` redirects n times, `/to?<address>` once, `/big` is too long, `/slow` takes a while, else
/// the request itself.
pub async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let length = text
                        .lines()
                        .find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
                    let head = text.find("\r\n\r\n").map(|at| at + 4);
                    if read == 0 || head.is_some_and(|head| request.len() >= head + length.unwrap_or(0)) {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
                let moved = |to: String| {
                    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                };
                let answer = match path.split_once('?').unwrap_or((&path, "")) {
                    ("/to", to) => moved(to.to_owned()),
                    ("/big", _) => {
                        let body = "x".repeat(2 << 20);
                        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}")
                    }
                    ("/slow", _) => {
                        tokio::time::sleep(Duration::from_secs(20)).await;
                        String::new()
                    }
                    ("/missing", _) => {
                        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone".to_owned()
                    }
                    ("/json", _) => {
                        "HTTP/1.1 200 OK\r\nX-Colour: red\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{\"n\": 1}"
                            .to_owned()
                    }
                    (path, _) => match path.strip_prefix("/go/").and_then(|n| n.parse::<u32>().ok()) {
                        Some(left) if left > 0 => moved(format!("/go/{}", left - 1)),
                        _ => format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                            text.len()
                        ),
                    },
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    port
}

fn get(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: None,
        timeout: None,
        follow_redirects: true,
    }
}

#[test]
fn link_local_and_metadata_addresses_are_refused_unless_configured() {
    let strict = OutboundSettings::default();
    let lenient = OutboundSettings { allowed_cidrs: vec!["169.254.0.0/16".parse().unwrap()] };
    for address in [
        "169.254.169.254",
        "169.254.1.1",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "224.0.0.1",
    ] {
        assert!(!strict.allows(address.parse::<IpAddr>().unwrap()), "{address}");
    }
    for address in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "2001:db8::1", "64:ff9b::808:808"] {
        assert!(strict.allows(address.parse::<IpAddr>().unwrap()), "{address}");
    }
    assert!(lenient.allows("169.254.169.254".parse().unwrap()));
    assert!(lenient.allows("::ffff:169.254.169.254".parse().unwrap()));
    assert!(!lenient.allows("fe80::1".parse().unwrap()));
}

#[test]
fn only_http_is_spoken() {
    let settings = OutboundSettings::default();
    for url in ["file:///etc/passwd", "ftp://example.com/", "data:text/plain,x", "gopher://example.com/"] {
        assert!(check(&Url::parse(url).unwrap(), &settings).is_err(), "{url}");
    }
    // However it is written, it is the same address.
    for url in ["http://169.254.169.254/", "http://0xa9fea9fe/", "http://2852039166/", "http://[fe80::1]/"] {
        assert!(check(&Url::parse(url).unwrap(), &settings).is_err(), "{url}");
    }
    assert!(check(&Url::parse("https://example.com/").unwrap(), &settings).is_ok());
}

#[tokio::test]
async fn redirects_are_few_and_judged_like_the_call_itself() {
    let (outbound, port) = (Outbound::new(OutboundSettings::default()), server().await);
    let base = format!("http://127.0.0.1:{port}");
    assert_eq!(outbound.send(get(&format!("{base}/go/5"))).await.unwrap().status, 200);
    let error = outbound.send(get(&format!("{base}/go/6"))).await.unwrap_err();
    assert_eq!(error, OutboundError::Refused("Exceeded 5 redirects.".to_owned()));
    let error = outbound.send(get(&format!("{base}/to?http://169.254.169.254/latest"))).await.unwrap_err();
    assert_eq!(error, OutboundError::Refused("Calls to 169.254.169.254 are not allowed.".to_owned()));
    // What cannot be followed is the answer.
    assert_eq!(outbound.send(get(&format!("{base}/to?file:///etc/passwd"))).await.unwrap().status, 302);
    let stay = OutboundRequest { follow_redirects: false, ..get(&format!("{base}/go/1")) };
    assert_eq!(outbound.send(stay).await.unwrap().status, 302);
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let (outbound, port) = (Outbound::new(OutboundSettings::default()), server().await);
    let error = outbound.send(get(&format!("http://127.0.0.1:{port}/big"))).await.unwrap_err();
    assert_eq!(error, OutboundError::TooLong(1_048_576));
    let slow =
        OutboundRequest { timeout: Some(Duration::from_millis(200)), ..get(&format!("http://127.0.0.1:{port}/slow")) };
    assert!(matches!(outbound.send(slow).await.unwrap_err(), OutboundError::Timeout(_)));
    let closed = outbound.send(get("http://127.0.0.1:1/")).await.unwrap_err();
    assert!(matches!(closed, OutboundError::Connection(_)), "{closed:?}");
}
