//! Pictures of users at other servers: shown when they are there, asked for once.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use weir_core::Clock;
use weir_identity::User;

use super::{Options, options, stand::Stand};

struct Hands(AtomicI64);

impl Hands {
    fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A server of pictures, and what it was asked.
struct Gallery {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Gallery {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                let answer = match line.split(['/', ' ']).nth(2).unwrap_or_default() {
                    "there" => "200 OK\r\nContent-Type: image/png",
                    "page" => "200 OK\r\nContent-Type: text/html",
                    "gone" => "404 Not Found",
                    _ => "503 Service Unavailable",
                };
                seen.lock().unwrap().push(line);
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn scene() -> (Stand, Gallery, Arc<Hands>) {
    let clock = Arc::new(Hands(AtomicI64::new(1_790_000_000_000_000)));
    let wanted: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let stand = Stand::start_with(Options { clock: wanted, asks_for_pictures: true, ..options() }).await;
    (stand, Gallery::open().await, clock)
}

impl Stand {
    async fn avatars(&self, setting: &str) {
        self.patch(&self.admin, "/admin/settings/", json!({"avatars": setting})).await.expect(200);
    }

    async fn avatar(&self, user: i64) -> String {
        let shown = self.get(&self.admin, &format!("/core/users/{user}/")).await.expect(200);
        shown["avatar"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_picture_elsewhere_is_shown_when_its_server_says_there_is_one() {
    let (stand, gallery, _) = scene().await;
    let at = &gallery.address;
    let boss = stand.admin.id;
    stand.avatars(&format!("{at}/there/%(username)s,initials")).await;
    assert_eq!(stand.avatar(boss).await, format!("{at}/there/boss"));
    assert_eq!(stand.avatar(boss).await, format!("{at}/there/boss"));
    let me = stand.get(&stand.admin, "/core/users/me/").await.expect(200);
    assert_eq!(me["user"]["avatar"], format!("{at}/there/boss"));
    assert_eq!(*gallery.asked.lock().unwrap(), ["HEAD /there/boss HTTP/1.1"], "asked once, without the picture itself");
    stand.avatars(&format!("{at}/gone/%(username)s,{at}/page/%(username)s,{at}/there/%(mail_hash)s")).await;
    let shown = stand.avatar(boss).await;
    assert!(shown.starts_with(&format!("{at}/there/")) && !shown.ends_with("boss"), "{shown}");
    stand.avatars(&format!("{at}/gone/%(username)s,initials,{at}/there/never")).await;
    assert!(stand.avatar(boss).await.starts_with("data:image/svg+xml"));
    assert!(!gallery.asked.lock().unwrap().iter().any(|line| line.contains("never")));
    for number in 0..20 {
        stand.make::<User>(json!({"username": format!("u{number}"), "name": ""})).await;
    }
    stand.avatars(&format!("{at}/there/%(username)s,initials")).await;
    let listed = stand.get(&stand.admin, "/core/users/?search=u1&page_size=50").await.expect(200);
    for row in listed["results"].as_array().unwrap() {
        assert_eq!(row["avatar"], format!("{at}/there/{}", row["username"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_host_that_fails_is_not_asked_again_for_eight_hours() {
    let (stand, gallery, clock) = scene().await;
    let (at, boss) = (&gallery.address, stand.admin.id);
    stand.avatars(&format!("{at}/broken/%(username)s,initials")).await;
    assert!(stand.avatar(boss).await.starts_with("data:image/svg+xml"));
    assert_eq!(gallery.asked(), 1);
    stand.avatars(&format!("{at}/there/%(username)s,initials")).await;
    clock.advance(TimeDelta::hours(7));
    assert!(stand.avatar(boss).await.starts_with("data:image/svg+xml"));
    assert_eq!(gallery.asked(), 1, "no address of this host is asked");
    clock.advance(TimeDelta::hours(1) + TimeDelta::seconds(1));
    assert_eq!(stand.avatar(boss).await, format!("{at}/there/boss"));
    assert_eq!(gallery.asked(), 2);
    // A picture that was missing may come.
    stand.avatars(&format!("{at}/gone/%(username)s,initials")).await;
    for (wait, asked) in [(TimeDelta::zero(), 3), (TimeDelta::minutes(59), 3), (TimeDelta::minutes(2), 4)] {
        clock.advance(wait);
        assert!(stand.avatar(boss).await.starts_with("data:image/svg+xml"));
        assert_eq!(gallery.asked(), asked);
    }
}

#[tokio::test]
async fn addresses_that_may_not_be_called_have_no_pictures() {
    let (stand, _, _) = scene().await;
    for setting in ["http://169.254.169.254/%(username)s", "file:///etc/%(username)s", "gopher://x/%(username)s", "://"]
    {
        stand.avatars(&format!("{setting},none")).await;
        assert_eq!(stand.avatar(stand.admin.id).await, weir_identity::avatar::DEFAULT_AVATAR, "{setting}");
    }
}
