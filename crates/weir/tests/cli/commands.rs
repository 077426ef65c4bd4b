//! Commands without a running server.

use std::fs;

use crate::program::{Ended, Place, free_address};

fn one_line(ended: &Ended) -> &str {
    assert_eq!(ended.err.trim_end().lines().count(), 1, "{}", ended.err);
    ended.err.trim_end()
}

#[test]
fn config_show_masks_secrets_and_names_sources() {
    let place = Place::new();
    fs::write(place.folder.join("weir.toml"), "[email]\nhost = \"mx.example\"\n").unwrap();
    let environment = [("WEIR_BOOTSTRAP_PASSWORD", "hunter2"), ("WEIR_DATABASE_URL", "postgres://u:hunter2@h/d")];
    let ended = place.run_with(&["config", "show", "--log", "debug"], &environment, "");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
    for part in ["host = \"mx.example\"", "# weir.toml", "# --log", "# WEIR_BOOTSTRAP_PASSWORD", "u:***@h"] {
        assert!(ended.out.contains(part), "{part} is not in\n{}", ended.out);
    }
}

#[test]
fn what_is_unknown_is_refused_with_code_2_in_one_line() {
    let place = Place::new();
    fs::write(place.folder.join("bad.toml"), "lisen = 1\n").unwrap();
    for (arguments, part) in [
        (&["serve", "--lisen", "x"][..], "'--lisen'"),
        (&["srve"], "'srve'"),
        (&["config", "show", "--config", "bad.toml"], "unknown setting lisen"),
        (&["migrate", "--config", "bad.toml"], "unknown setting lisen"),
        (&["migrate", "--listen", "x"], "--listen"),
        (&["migrate", "--log", "weir=loud=very"], "log"),
        (&["migrate", "--database-url", "postgres://u:secret@h/d"], "--database-url"),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.err);
        assert!(one_line(&ended).contains(part) && !ended.err.contains("secret"), "{}", ended.err);
    }
    assert!(!place.folder.join("data").exists(), "nothing was made");
}

#[test]
fn an_unknown_variable_is_only_warned_about() {
    let place = Place::new();
    let ended = place.run_with(&["config", "show"], &[("WEIR_LISSEN", "x")], "");
    assert_eq!(ended.code, Some(0));
    assert!(one_line(&ended).contains("WEIR_LISSEN"), "{}", ended.err);
}

#[test]
fn migrate_may_run_again_and_again() {
    let place = Place::new();
    let first = place.run(&["migrate"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert!(first.out.contains("0001_documents"), "{}", first.out);
    let second = place.run(&["migrate"]);
    assert_eq!((second.code, second.out.trim_end()), (Some(0), "the database is up to date"), "{}", second.err);
}

#[cfg(unix)]
#[test]
fn what_is_made_belongs_to_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.run(&["migrate"]);
    for name in ["data", "data/weir.sqlite3"] {
        let mode = fs::metadata(place.folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[test]
fn commands_make_no_database_and_serve_no_damaged_one() {
    let place = Place::new();
    let ended = place.run(&["user", "create", "jane"]);
    assert_eq!(ended.code, Some(1));
    assert!(one_line(&ended).contains("no database"), "{}", ended.err);
    assert!(!place.folder.join("data").exists());

    fs::create_dir(place.folder.join("data")).unwrap();
    let file = place.folder.join("data/weir.sqlite3");
    fs::write(&file, "this is no database, but it is long enough to look like a file that matters").unwrap();
    let before = fs::read(&file).unwrap();
    for command in ["serve", "migrate"] {
        let ended = place.run(&[command]);
        assert_eq!(ended.code, Some(1), "{command}: {}", ended.err);
        assert!(one_line(&ended).contains("damaged"), "{}", ended.err);
    }
    assert_eq!(fs::read(&file).unwrap(), before, "untouched");
}

#[test]
fn a_user_can_be_made_and_given_a_password_from_the_command_line() {
    let place = Place::new();
    place.run(&["migrate"]);
    let made = place.run(&["user", "create", "jane", "--email", "jane@example.test"]);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let again = place.run(&["user", "create", "jane"]);
    assert_eq!(again.code, Some(2), "{}", again.err);
    assert!(again.err.contains("username"), "{}", again.err);
    let set = place.run_with(&["user", "set-password", "jane"], &[], "Correct horse 1\n");
    assert_eq!(set.code, Some(0), "{}", set.err);
    let empty = place.run_with(&["user", "set-password", "jane"], &[], "\n");
    assert_eq!(empty.code, Some(2), "{}", empty.err);
    let nobody = place.run_with(&["user", "set-password", "joe"], &[], "Correct horse 1\n");
    assert_eq!(nobody.code, Some(1), "{}", nobody.err);
    assert!(one_line(&nobody).contains("joe"));
    let all = [made, again, set, empty, nobody];
    assert!(all.iter().all(|it| !it.out.contains("Correct horse") && !it.err.contains("Correct horse")));
}

#[test]
fn a_blueprint_is_applied_whole_or_not_at_all_and_comes_out_again() {
    let place = Place::new();
    place.run(&["migrate"]);
    let good = "version: 1\nmetadata: {name: x}\nentries:\n- model: authentik_flows.flow\n  identifiers: {slug: mine}\n  \
                attrs: {name: !Context [title, none], title: T, designation: authentication}\n";
    let ended = place.run_with(&["blueprint", "apply", "-", "--context", "title=Mine"], &[], good);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let shipped = place.run(&["blueprint", "apply", "default/flow-default-request.yaml"]);
    assert_eq!(shipped.code, Some(0), "{}", shipped.err);
    let bad =
        format!("{}- model: authentik_flows.nothing\n  identifiers: {{slug: x}}\n", good.replace("mine", "other"));
    let ended = place.run_with(&["blueprint", "apply", "-"], &[], &bad);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("nothing was changed"), "{}", ended.err);
    let export = place.run(&["blueprint", "export"]);
    assert!(export.out.contains("slug: mine") && export.out.contains("Mine"), "{} {}", export.out, export.err);
    assert!(!export.out.contains("slug: other"));
    let flow = place.run(&["blueprint", "export", "--flow", "mine", "-o", "out.yaml"]);
    assert_eq!(flow.code, Some(0), "{}", flow.err);
    assert!(fs::read_to_string(place.folder.join("out.yaml")).unwrap().contains("slug: mine"));
}

#[test]
fn the_openapi_document_needs_no_database() {
    let place = Place::new();
    let ended = place.run(&["openapi"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let document: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert!(document.pointer("/paths/~1flows~1instances~1/get").is_some());
    assert!(!place.folder.join("data").exists());
    let yaml = place.run(&["openapi", "--yaml"]);
    assert!(yaml.out.contains("openapi: \"3.0.3\"") || yaml.out.contains("\"openapi\": \"3.0.3\""));
}

#[test]
fn healthcheck_fails_when_nobody_listens() {
    let place = Place::new();
    let ended = place.run(&["healthcheck", "--listen", &free_address().to_string()]);
    assert_eq!(ended.code, Some(1));
    assert!(one_line(&ended).contains("no answer"), "{}", ended.err);
}

#[test]
fn help_and_version_are_no_failures() {
    let place = Place::new();
    let help = place.run(&["serve", "--help"]);
    assert!(help.code == Some(0) && help.out.contains("WEIR_TRUSTED_PROXY_CIDRS"), "{}", help.out);
    let version = place.run(&["--version"]);
    assert!(version.code == Some(0) && version.out.starts_with("weir "));
}

#[test]
fn templates_can_be_listed_and_looked_at_with_those_of_the_site() {
    let place = Place::new();
    fs::create_dir_all(place.folder.join("data/templates/email")).unwrap();
    fs::write(place.folder.join("data/templates/email/own.html"), "<p>{{ user.name }} & {{ brand.title }}</p>")
        .unwrap();
    let listed = place.run(&["mail", "templates"]);
    assert!(
        listed.out.contains("email/password_reset.html") && listed.out.contains("email/own.html"),
        "{}",
        listed.out
    );
    let own = place.run(&["mail", "preview", "--template", "email/own.html", "--text"]);
    assert_eq!(own.out.trim_end(), "Jane Doe & Weir", "{}", own.err);
    let german = place.run(&["mail", "preview", "--locale", "de", "--output", "mail.html"]);
    assert_eq!(german.code, Some(0), "{}", german.err);
    assert!(fs::read_to_string(place.folder.join("mail.html")).unwrap().contains("<html lang=\"de\""));
    for (arguments, part) in [
        (&["mail", "preview", "--locale", "xx"][..], "en, de, ar"),
        (&["mail", "preview", "--template", "../x.html"], "../x.html"),
        (&["mail", "test", "nobody"], "no e-mail address"),
        (&["mail", "test", "a@example.org", "--email-host", "127.0.0.1", "--email-port", "1"], "127.0.0.1:1"),
    ] {
        let ended = place.run(arguments);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        assert!(one_line(&ended).contains(part), "{}", ended.err);
    }
}

#[test]
fn a_broken_audit_trail_is_told_with_code_1_and_the_place() {
    let place = Place::new();
    place.run(&["migrate"]);
    assert_eq!(place.run(&["user", "create", "jane"]).code, Some(0));
    let sound = place.run(&["events", "verify"]);
    assert_eq!(sound.code, Some(0), "{}", sound.err);
    assert!(sound.out.contains("sound: 0 events checked") && !sound.out.contains(" 0 wait"), "{}", sound.out);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = weir_store::DatabaseUrl::Sqlite(place.folder.join("data/weir.sqlite3"));
        let db = weir_store::Db::open(&weir_store::DbSettings::new(url)).await.unwrap();
        let mut tx = db.tx();
        tx.write("UPDATE audit_event SET seq = 1 WHERE action = 'model_created'", &[]).await.unwrap();
        tx.commit().await.unwrap();
        db.close().await;
    });
    let broken = place.run(&["events", "verify"]);
    assert_eq!(broken.code, Some(1), "{}", broken.out);
    assert!(one_line(&broken).contains("at place 1 was put in"), "{}", broken.err);
    let wrong = place.run(&["events", "verify", "--expect", "7"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
}

#[test]
fn models_of_authenticators_are_taken_from_a_signed_file_and_stay() {
    use weir_webauthn::software::Maker;
    let place = Place::new();
    let (alliance, other) = (Maker::new("Alliance"), Maker::new("Other"));
    let entry = alliance.entry(uuid::Uuid::from_bytes([1; 16]), "Software key", "FIDO_CERTIFIED");
    fs::write(place.folder.join("blob.jwt"), alliance.metadata(3, "2060-01-01", std::slice::from_ref(&entry))).unwrap();
    fs::write(place.folder.join("older.jwt"), alliance.metadata(2, "2060-01-01", &[entry])).unwrap();
    fs::write(place.folder.join("root.pem"), alliance.root_pem()).unwrap();
    fs::write(place.folder.join("other.der"), other.root()).unwrap();
    assert_eq!(place.run(&["migrate"]).code, Some(0));
    let load = |file: &str, root: &str| place.run(&["webauthn", "load-metadata", file, "--root", root]);
    let ended = load("blob.jwt", "root.pem");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("number 3") && ended.out.contains("1 models, 0 of them revoked"), "{}", ended.out);
    for (file, root, code, part) in [
        ("blob.jwt", "other.der", 1, "does not lead to the root"),
        ("blob.jwt", "blob.jwt", 2, "holds no certificate"),
        ("older.jwt", "root.pem", 1, "number 3 was loaded before"),
        ("absent.jwt", "root.pem", 1, "absent.jwt"),
    ] {
        let ended = load(file, root);
        assert_eq!(ended.code, Some(code), "{file} {root}: {}", ended.err);
        assert!(ended.err.contains(part), "{file} {root}: {}", ended.err);
    }
    let list = "{\"01010101-0101-0101-0101-010101010101\": {\"name\": \"Plain\"}, \"02020202-0202-0202-0202-020202020202\": {\"name\": \"Two\"}}";
    fs::write(place.folder.join("list.json"), list).unwrap();
    let ended = place.run(&["webauthn", "load-models", "list.json"]);
    assert!(ended.out.contains("2 models, 0 of them revoked, 1 left"), "{}{}", ended.out, ended.err);
}
