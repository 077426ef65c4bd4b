//! The pages in headless Chromium. The tests start their own servers; they only need to know the binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Outcome, Session, rust};
use crate::project::{find_program, must, succeeds};

pub fn suite(session: &Session<'_>) -> Result<Outcome> {
    with_chromium(session, "tests/browser", |folder, chromium, tools| {
        rust::build_server(session.project)?;
        let mut tests = Command::new(&tools.node);
        tests.args(["--test", "--test-reporter=spec", "--test-concurrency=1"]).args(test_files(folder)?);
        tests.current_dir(folder).env("CHROMIUM", chromium).env("WEIR_BIN", session.binary());
        succeeds(&mut tests)
    })
}

/// Every kind of page with made-up data, without a server.
pub fn pages(session: &Session<'_>) -> Result<Outcome> {
    with_chromium(session, "web/flow", |folder, chromium, tools| {
        let mut tests = Command::new(&tools.npm);
        tests.args(["test", "--silent"]).current_dir(folder).env("CARGO_TARGET_DIR", &session.project.target);
        tests.env("SCREENSHOT_DIR", session.project.root.join("test-results/pages"));
        succeeds(tests.env("CHROMIUM", chromium))
    })
}

struct Tools {
    node: PathBuf,
    npm: PathBuf,
}

/// Finds browser and Node.js, installs the folder's packages and runs the test.
fn with_chromium(
    session: &Session<'_>,
    folder: &str,
    test: impl Fn(&Path, &Path, &Tools) -> Result<bool>,
) -> Result<Outcome> {
    let Some(chromium) = find_chromium() else {
        return Ok(Outcome::Missing("Chromium (name it in CHROMIUM)".to_owned()));
    };
    let (Some(node), Some(npm)) = (find_program(&["node"]), find_program(&["npm"])) else {
        return Ok(Outcome::Missing("Node.js with npm".to_owned()));
    };
    let folder = session.project.root.join(folder);
    install_packages(&npm, &folder)?;
    Ok(Outcome::of(test(&folder, &chromium, &Tools { node, npm })?))
}

fn find_chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
    named.or_else(|| find_program(&["chromium", "chromium-browser", "google-chrome"]))
}

/// npm writes a lock file of its own into node_modules; when it is newer than ours, nothing has changed.
fn install_packages(npm: &Path, folder: &Path) -> Result<()> {
    let changed = |path: PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let installed = changed(folder.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= changed(folder.join("package-lock.json")) {
        return Ok(());
    }
    must(Command::new(npm).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))
}

fn test_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
