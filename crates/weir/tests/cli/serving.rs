//! A running server from start to end.

use std::{fs, net::TcpListener, time::Duration};

use crate::program::Place;

#[test]
fn a_first_start_prints_one_link_and_a_later_one_with_the_set_up_done_none() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let link = server.printed("/setup?token=");
    let path = link.trim().split_once(&server.address.to_string()).map(|(_, path)| path.to_owned()).unwrap();
    let (status, answer) = server.get(&path).unwrap();
    assert!(status == 302 && answer.to_lowercase().contains("location: /if/flow/initial-setup/"), "{answer}");
    let (status, _) = server.get("/setup?token=wrong").unwrap();
    assert_eq!(status, 403);
    let token = path.rsplit('=').next().unwrap();
    assert!(!server.log().contains(token), "the token is not logged");
    server.stop();
    let set = place.run_with(&["user", "set-password", "akadmin"], &[], "Correct-horse-1\n");
    assert_eq!(set.code, Some(0), "{}", set.err);
    let mut server = place.serve(&[]);
    assert_ne!(server.get(&path).unwrap().0, 403);
    server.signal("-TERM");
    server.wait();
}

#[test]
fn a_signal_ends_a_server_in_order() {
    let place = Place::new();
    for signal in ["-TERM", "-INT"] {
        let mut server = place.serve(&[("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1")]);
        server.signal(signal);
        let (code, took) = server.wait();
        assert_eq!(code, Some(0), "{}", server.log());
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
}

#[test]
fn a_second_server_on_one_folder_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let server = place.serve(&[("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1")]);
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert!(second.err.contains("another server is running"), "{}", second.err);
    assert_eq!(server.get("/-/health/ready/").unwrap().0, 200);
    // Commands work beside it.
    let migrated = place.run(&["migrate"]);
    assert_eq!((migrated.code, migrated.out.trim()), (Some(0), "the database is up to date"), "{}", migrated.err);
    assert_eq!(place.run(&["user", "create", "jane"]).code, Some(0));
    server.stop();
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = place.run(&["serve", "--listen", &address, "--log", "error"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&format!("cannot listen on {address}")), "{}", ended.err);
    assert!(ended.err.contains("in use"), "{}", ended.err);
}

#[test]
fn a_healthcheck_finds_a_running_server() {
    let place = Place::new();
    let server = place.serve(&[("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1")]);
    let ended = place.run(&["healthcheck", "--listen", &server.address.to_string()]);
    assert_eq!((ended.code, ended.out.trim()), (Some(0), "ready"), "{}", ended.err);
    server.stop();
}

#[test]
fn bootstrap_values_make_a_token_that_works_and_stay_out_of_the_log() {
    let place = Place::new();
    fs::write(place.folder.join("token"), "a-token-of-more-than-enough-characters\n").unwrap();
    let environment = [
        ("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1"),
        ("WEIR_BOOTSTRAP_TOKEN_FILE", "token"),
        ("WEIR_LOG", "debug"),
        ("WEIR_LOG_FORMAT", "json"),
    ];
    let server = place.serve(&environment);
    let log = server.log();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    for secret in ["Correct-horse-1", "a-token-of-more-than-enough-characters"] {
        assert!(!log.contains(secret));
    }
    let (status, metrics) = server.get("/-/metrics/").unwrap();
    assert!(status == 200 && metrics.contains("weir_snapshot_rebuild_seconds"), "{metrics}");
    let (status, page) = server.get("/if/flow/default-authentication-flow/").unwrap();
    assert!(status == 200 && page.contains("<form"), "{page}");
    server.stop();
}

#[test]
fn a_killed_server_starts_again() {
    let place = Place::new();
    drop(place.serve(&[("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1")]));
    place.serve(&[]).stop();
}

#[test]
fn a_recovery_link_works_at_the_address_it_was_made_for() {
    let place = Place::new();
    place.serve(&[("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1")]).stop();
    let none = place.run(&["user", "recovery-link", "akadmin"]);
    assert_eq!(none.code, Some(2), "{}", none.err);
    assert!(none.err.contains("set-password") && none.err.contains("No recovery flow"), "{}", none.err);
    let blueprint = "version: 1\nentries:\n- model: authentik_flows.flow\n  id: flow\n  identifiers: {slug: way-back}\n  \
        attrs: {name: Way back, title: T, designation: recovery}\n- model: authentik_stages_dummy.dummystage\n  id: stage\n  \
        identifiers: {name: hello}\n- model: authentik_flows.flowstagebinding\n  identifiers: {target: !KeyOf flow, stage: \
        !KeyOf stage, order: 0}\n- model: authentik_brands.brand\n  identifiers: {domain: authentik-default}\n  attrs: \
        {flow_recovery: !KeyOf flow}\n";
    let applied = place.run_with(&["blueprint", "apply", "-"], &[], blueprint);
    assert_eq!(applied.code, Some(0), "{}", applied.err);
    let made = place.run(&["user", "recovery-link", "akadmin", "--url", "https://id.example.test/"]);
    let path = made.out.trim().strip_prefix("https://id.example.test").unwrap_or_else(|| panic!("{made:?}"));
    assert!(path.starts_with("/if/flow/way-back/?flow_token="), "{path}");
    let server = place.serve(&[]);
    let (status, answer) = server.get(path).unwrap();
    assert!(status == 200 || status == 302, "{answer}");
    server.stop();
}

#[test]
fn everything_moves_under_the_prefix() {
    let place = Place::new();
    let prefix = [("WEIR_WEB__PATH", "/id/")];
    let mut server = place.serve_at("/id/-/health/ready/", &prefix);
    let arguments = ["healthcheck", "--listen", &server.address.to_string(), "--web-path", "/id/"];
    assert_eq!(place.run(&arguments).code, Some(0));
    let link = server.printed("/id/setup?token=");
    let path = link.trim().split_once(&server.address.to_string()).map(|(_, path)| path.to_owned()).unwrap();
    let (_, answer) = server.get(&path).unwrap();
    assert!(answer.to_lowercase().contains("location: /id/if/flow/initial-setup/"), "{answer}");
    let (_, answer) = server.get("/id/").unwrap();
    assert!(answer.contains("/id/flows/-/default/authentication/?next=/id/"), "{answer}");
    let (status, page) = server.get("/id/if/flow/default-authentication-flow/").unwrap();
    assert_eq!(status, 200, "{page}");
    let addresses: Vec<&str> =
        page.split(" href=\"").chain(page.split(" src=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut ours = 0;
    for address in addresses.into_iter().filter(|address| address.starts_with('/')) {
        assert!(address.starts_with("/id/"), "{address} in {page}");
        if address.starts_with("/id/static/") {
            assert_eq!(server.get(address).unwrap().0, 200, "{address}");
            ours += 1;
        }
    }
    assert!(ours >= 3, "style, script and logo at least: {page}");
    let (_, challenge) = server.get("/id/api/v3/flows/executor/default-authentication-flow/").unwrap();
    assert!(challenge.contains("\"background\":\"/id/static/dist/assets/images/flow_background.jpg\""), "{challenge}");
    let (_, brand) = server.get("/id/api/v3/core/brands/current/").unwrap();
    assert!(brand.contains("\"branding_logo\":\"/id/static/"), "{brand}");
    server.stop();
}

#[test]
fn a_second_signal_ends_a_server_that_still_waits_for_a_request() {
    let place = Place::new();
    let mut server = place.serve(&[("WEIR_BOOTSTRAP_PASSWORD", "Correct-horse-1")]);
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    let head = "POST /api/v3/flows/executor/default-authentication-flow/ HTTP/1.1\r\nHost: x\r\n\
                Content-Type: application/json\r\nContent-Length: 10\r\n\r\n";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    // The request must have reached its handler before the first signal.
    std::thread::sleep(Duration::from_millis(300));
    server.signal("-TERM");
    std::thread::sleep(Duration::from_millis(700));
    assert!(server.is_running(), "it waits for the request:\n{}", server.log());
    server.signal("-TERM");
    let (code, took) = server.wait();
    assert_eq!(code, Some(1), "{}", server.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
