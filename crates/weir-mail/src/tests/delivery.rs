//! From the outbox to a server that answers as a script says.

use crate::{Deliver, MailSettings, Mailbox, Mailer, Message, Smtp, outbox};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use weir_core::{Clock, Registry, SystemRandom};
use weir_events::Origin;
use weir_resource::{HookSet, Site, SiteParts};
use weir_store::{
    jobs::{self, Job, JobHandler, Runner},
    test_support::{TestDb, test_db},
};

#[derive(Clone)]
struct Hands(Arc<Mutex<DateTime<Utc>>>);
impl Clock for Hands {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// A mail server that takes everything but what `refuse` answers, and keeps what it took.
struct Server {
    port: u16,
    taken: Arc<Mutex<Vec<String>>>,
    refuse: Arc<Mutex<Option<&'static str>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, refuse) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
        let (t, r) = (Arc::clone(&taken), Arc::clone(&refuse));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, Arc::clone(&t), Arc::clone(&r)));
            }
        });
        Self { port, taken, refuse }
    }

    fn mails(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

async fn talk(stream: TcpStream, taken: Arc<Mutex<Vec<String>>>, refuse: Arc<Mutex<Option<&'static str>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let _ = write.write_all(b"220 test\r\n").await;
    while let Ok(Some(line)) = lines.next_line().await {
        let refusal = *refuse.lock().unwrap();
        let word = line.get(..4).unwrap_or_default().to_uppercase();
        let answer = match (word.as_str(), refusal) {
            ("EHLO", _) => "250-test\r\n250 8BITMIME",
            ("RCPT", Some(refusal)) => refusal,
            ("DATA", _) => "354 go on",
            ("QUIT", _) => "221 bye",
            _ => "250 ok",
        };
        let _ = write.write_all(format!("{answer}\r\n").as_bytes()).await;
        if word == "DATA" {
            let mut mail = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == "." {
                    break;
                }
                mail.push_str(&line);
                mail.push('\n');
            }
            taken.lock().unwrap().push(mail);
            let _ = write.write_all(b"250 taken\r\n").await;
        }
    }
}

struct World {
    db: TestDb,
    site: Arc<Site>,
    clock: Hands,
    runner: Runner,
}

impl World {
    async fn new(port: u16) -> Self {
        let db = test_db().await;
        let clock = Hands(Arc::new(Mutex::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap())));
        let parts = SiteParts {
            db: db.db(),
            registry: Registry::new(Vec::new()),
            hooks: HookSet::default(),
            prefix: String::new(),
            clock: Arc::new(clock.clone()),
            random: Arc::new(SystemRandom),
        };
        let site = Site::open(parts).await.unwrap();
        let server = Smtp {
            host: "127.0.0.1".to_owned(),
            port,
            timeout: Duration::from_secs(2),
            from: "Acme <noreply@example.org>".to_owned(),
            ..Smtp::default()
        };
        let mailer = Arc::new(Mailer::new(MailSettings { server, templates_dir: None }).unwrap());
        let deliver = Deliver { site: Arc::clone(&site), mailer };
        let mut handlers: BTreeMap<&'static str, Arc<dyn JobHandler>> = BTreeMap::new();
        handlers.insert(outbox::ACTOR, Arc::new(deliver));
        let now = clock.clone();
        let runner = Runner::new(db.db(), Arc::new(move || now.now()), handlers, 4);
        Self { db, site, clock, runner }
    }

    async fn post(&self, message: Message, stage: Option<uuid::Uuid>) {
        let mut tx = self.db.tx();
        let now = self.clock.now();
        let origin =
            Origin { user: json!({"pk": 7, "username": "ann"}), username: "ann".to_owned(), ..Origin::system() };
        let what = "Send email/password_reset.html".to_owned();
        let parcel =
            outbox::Parcel { stage, message, what, expires: now + TimeDelta::minutes(30), wait: TimeDelta::zero() };
        outbox::post(&mut tx, &SystemRandom, now, &origin, parcel).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn pass(&self, span: TimeDelta) {
        let mut now = self.clock.0.lock().unwrap();
        *now += span;
    }

    async fn jobs(&self) -> Vec<Job> {
        let page =
            jobs::list(&self.db, &jobs::JobFilter { page: 1, page_size: 50, ..jobs::JobFilter::default() }).await;
        let mut all = Vec::new();
        for job in page.unwrap().items {
            all.push(jobs::find(&self.db, job.id).await.unwrap().unwrap());
        }
        all
    }

    async fn waiting(&self) -> i64 {
        let row = self.db.read_one("SELECT COUNT(*) AS n FROM mail_outbox", &[]).await.unwrap().unwrap();
        row.int("n").unwrap()
    }

    async fn events(&self) -> Vec<(Value, String)> {
        let rows = self.db.read("SELECT context, username FROM audit_event WHERE action = 'email_sent'", &[]).await;
        rows.unwrap().iter().map(|row| (row.json("context").unwrap(), row.text("username").unwrap())).collect()
    }
}

fn mail() -> Message {
    Message {
        to: vec![Mailbox::new("Ann Ä\r\nX-Evil: 1", "ann@example.org")],
        cc: vec![Mailbox::new("", "cc@example.org")],
        bcc: vec![Mailbox::new("", "bcc@example.org")],
        subject: "Grüße\r\nX-Evil: 2".to_owned(),
        text: "The link: https://h/?flow_token=sEcReT\n".to_owned(),
        html: Some("<p>The <a href=\"https://h/?flow_token=sEcReT\">link</a></p>".to_owned()),
        secrets: vec!["sEcReT".to_owned()],
    }
}

#[tokio::test]
async fn a_mail_is_delivered_once_and_leaves_only_a_masked_event() {
    let server = Server::start().await;
    let world = World::new(server.port).await;
    world.post(mail(), None).await;
    let queued = format!("{:?}", world.jobs().await);
    assert!(!queued.contains("sEcReT") && !queued.contains("ann@"), "{queued}");
    world.runner.run_due().await.unwrap();
    let mails = server.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    for part in [
        "From: Acme <noreply@example.org>",
        "Cc: cc@example.org",
        "Auto-Submitted: auto-generated",
        "Message-ID: <",
        "@example.org>",
        "multipart/alternative",
    ] {
        assert!(mail.contains(part), "{part} is not in {mail}");
    }
    assert!(!mail.contains("bcc@") && !mail.lines().any(|line| line.starts_with("X-Evil")), "{mail}");
    assert_eq!(world.waiting().await, 0);
    let events = world.events().await;
    let [(context, username)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((username.as_str(), &context["to_email"][0]), ("ann", &json!("ann@example.org")));
    assert_eq!(context["from_email"], "Acme <noreply@example.org>");
    assert!(!context.to_string().contains("sEcReT"), "{context}");
    let job = &world.jobs().await[0];
    assert_eq!((job.state.as_str(), job.aggregated_status.as_str()), ("done", "done"));
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_until_the_mail_is_of_no_use() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let world = World::new(closed).await;
    world.post(mail(), None).await;
    world.runner.run_due().await.unwrap();
    let job = &world.jobs().await[0];
    assert_eq!((job.state.as_str(), world.waiting().await), ("queued", 1));
    assert!(job.logs.iter().any(|l| l.event.contains("Not handed over: 127.0.0.1")), "{:?}", job.logs);
    world.pass(TimeDelta::minutes(31));
    world.runner.run_due().await.unwrap();
    let job = &world.jobs().await[0];
    assert_eq!((job.aggregated_status.as_str(), world.waiting().await), ("error", 0));
    assert!(world.events().await.is_empty());
}

#[tokio::test]
async fn a_temporary_refusal_is_tried_again_and_a_permanent_one_is_not() {
    let server = Server::start().await;
    let world = World::new(server.port).await;
    *server.refuse.lock().unwrap() = Some("451 come back later");
    world.post(mail(), None).await;
    world.runner.run_due().await.unwrap();
    assert_eq!(world.jobs().await[0].state.as_str(), "queued");
    *server.refuse.lock().unwrap() = Some("550 no such user");
    world.pass(TimeDelta::seconds(20));
    world.runner.run_due().await.unwrap();
    let job = &world.jobs().await[0];
    assert_eq!((job.state.as_str(), job.aggregated_status.as_str()), ("done", "error"));
    assert!(job.logs.iter().any(|l| l.event.contains("550") && l.event.contains("no such user")), "{:?}", job.logs);
    assert_eq!(world.waiting().await, 1, "it can be started again once the cause is gone");
    *server.refuse.lock().unwrap() = None;
    let mut tx = world.db.tx();
    jobs::retry(&mut tx, job.id, world.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    world.runner.run_due().await.unwrap();
    assert_eq!((server.mails().len(), world.waiting().await), (1, 0));
}

#[tokio::test]
async fn protection_that_was_asked_for_is_never_given_up() {
    let server = Server::start().await;
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    for security in [crate::Security::StartTls, crate::Security::Tls] {
        let smtp = Smtp {
            host: "127.0.0.1".to_owned(),
            port: server.port,
            security,
            timeout: Duration::from_secs(2),
            ..Smtp::default()
        };
        let sent = crate::send(&smtp, uuid::Uuid::nil(), now, &mail()).await;
        assert!(sent.is_err(), "{security:?}: the server speaks no TLS");
    }
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn mails_for_nobody_and_mails_of_deleted_stages_end_quietly() {
    let server = Server::start().await;
    let world = World::new(server.port).await;
    let nobody = Message { to: vec![], cc: vec![], bcc: vec![], ..mail() };
    world.post(nobody, None).await;
    world.post(mail(), Some(uuid::Uuid::nil())).await;
    world.runner.run_due().await.unwrap();
    assert_eq!((server.mails().len(), world.waiting().await), (0, 0));
    let mut ends: Vec<String> = world.jobs().await.iter().map(|j| j.aggregated_status.clone()).collect();
    ends.sort();
    assert_eq!(ends, ["error", "info"]);
    assert!(Arc::ptr_eq(&world.site, &world.site));
}
