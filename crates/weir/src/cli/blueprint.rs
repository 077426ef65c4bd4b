//! `weir blueprint`: configuration in and out.

use std::{fs, io::Read as _, path::Path};

use anyhow::{Context as _, Result, bail};
use weir_blueprints::{
    Source, export,
    import::{self, Request},
    shipped,
};
use weir_core::{Map, Resource as _};
use weir_flow::Flow;
use weir_resource::{Actor, Stored, Unit};

use super::{Usage, print, refusal};
use crate::server::Core;

/// Applies a file, the standard input, or by its path one of those that come with the program.
pub async fn apply(core: &Core, file: &Path, context: &[String]) -> Result<()> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("the standard input")?;
    } else if let Some(shipped) = file.to_str().filter(|_| !file.exists()).and_then(shipped::find) {
        text.push_str(shipped);
    } else {
        text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    let mut overrides = Map::new();
    for pair in context {
        let (key, value) = pair.split_once('=').ok_or_else(|| Usage(format!("{pair:?} is not KEY=VALUE")))?;
        overrides.insert(key.to_owned(), value.into());
    }
    // Whoever may run this may read every file of the server, so the tags for files are no danger.
    let request = Request { text, source: Source::Disk, context: Map::new(), overrides };
    let report = import::apply(&core.site, Actor::system(), core.blueprints.environment(), &request).await;
    let report = report.map_err(refusal)?;
    if !report.success {
        bail!("nothing was changed: {}", report.problems().join("; "));
    }
    for line in report.logs.iter().filter(|line| line.level == "warning") {
        tracing::warn!("{}", line.event);
    }
    print("applied")
}

/// Writes the configuration, or one flow.
pub async fn export(core: &Core, flow: Option<&str>, output: Option<&Path>) -> Result<()> {
    let mut unit = Unit::new(&core.site, Actor::system());
    let text = match flow {
        None => export::export_all(&mut unit).await.map_err(refusal)?,
        Some(slug) => {
            let object = unit.snapshot.by_unique(Flow::MODEL, "slug", slug).map(|object| Stored::of(object));
            let flow = object.with_context(|| format!("there is no flow {slug:?}"))?;
            export::export_flow(&mut unit, &flow).await.map_err(refusal)?
        }
    };
    match output {
        None => print(&text),
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string()),
    }
}
