//! A whole server inside of a test's process.
#![expect(clippy::unwrap_used, reason = "a test without its server has failed")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use weir::{Config, Options, Running};
use weir_expression::WorkerCommand;
use weir_flow::Flow;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("weir-in-process-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn start(folder: &Path) -> anyhow::Result<Running> {
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.to_owned(),
        blueprints_dir: Some(folder.join("blueprints")),
        ..Config::default()
    };
    let worker = WorkerCommand { program: env!("CARGO_BIN_EXE_weir").into(), args: vec!["expression-worker".into()] };
    let options = Options {
        hash_cost: weir_crypto::HashCost::CHEAP,
        expression_worker: worker,
        asks_for_pictures: false,
        ..Options::production().unwrap()
    };
    weir::start(&config, options).await
}

async fn status_of(address: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_objects_are_there_once_and_a_second_start_writes_no_configuration() {
    let folder = Folder::new();
    let first = start(&folder.0).await.unwrap();
    let slugs = |running: &Running| {
        let snapshot = running.site.snapshot();
        let mut slugs: Vec<String> = snapshot.all::<Flow>().iter().map(|(_, flow)| flow.slug.0.clone()).collect();
        slugs.sort();
        (slugs, snapshot.revision)
    };
    let (flows, revision) = slugs(&first);
    for slug in ["default-authentication-flow", "default-invalidation-flow", "default-password-change", "initial-setup"]
    {
        assert!(flows.iter().any(|flow| flow == slug), "{slug} is missing of {flows:?}");
    }
    assert!(first.setup_token.is_some());
    first.stop().await.unwrap();
    let second = start(&folder.0).await.unwrap();
    assert_eq!(slugs(&second), (flows, revision));
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_gone_and_leaves_the_folder_to_the_next() {
    let folder = Folder::new();
    let running = start(&folder.0).await.unwrap();
    let address = running.address;
    assert_eq!(status_of(address, "/-/health/live/").await, 200);
    let Err(error) = start(&folder.0).await else { panic!("a second server on one folder") };
    assert!(format!("{error:#}").contains("another server"), "{error:#}");
    running.stop().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    start(&folder.0).await.unwrap().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_in_the_folder_is_applied_and_a_bad_one_stops_nobody() {
    let folder = Folder::new();
    let blueprints = folder.0.join("blueprints");
    std::fs::create_dir_all(&blueprints).unwrap();
    let good = "version: 1\nmetadata: {name: Mine}\nentries:\n- model: authentik_flows.flow\n  identifiers: \
                {slug: mine}\n  attrs: {name: Mine, title: T, designation: authentication}\n";
    std::fs::write(blueprints.join("good.yaml"), good).unwrap();
    std::fs::write(blueprints.join("bad.yaml"), "version: 1\nentries: [{model: nothing.at_all}]\n").unwrap();
    let running = start(&folder.0).await.unwrap();
    assert!(running.site.snapshot().get_by::<Flow>("slug", "mine").is_some());
    assert_eq!(status_of(running.address, "/-/health/ready/").await, 200);
    running.stop().await.unwrap();
}
