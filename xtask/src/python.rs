//! A Python environment below the build folder, for the tools and clients that are written in Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::project::{Project, find_program, must};

/// The interpreter of an environment that has what `requirements` lists. `Ok(None)` when the machine has no Python.
pub fn environment(project: &Project, name: &str, requirements: &Path) -> Result<Option<PathBuf>> {
    let Some(python) = find_program(&["python3"]) else { return Ok(None) };
    let folder = project.scratch(&format!("python-{name}"))?;
    let interpreter = folder.join("bin").join("python");
    let wanted = std::fs::read_to_string(requirements).with_context(|| format!("{}", requirements.display()))?;
    let stamp = folder.join("installed.txt");
    if interpreter.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(interpreter));
    }
    must(Command::new(python).args(["-m", "venv", "--clear"]).arg(&folder))?;
    if !interpreter.is_file() {
        bail!("python3 -m venv made no {}", interpreter.display());
    }
    must(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(requirements),
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(Some(interpreter))
}
