//! The checkout, its build folder, and the programs of this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The expression engine declares this compiler; it builds with older ones when cargo is told not to mind.
const DECLARED_RUSTC: (u32, u32) = (1, 96);

/// The checkout this command was started in.
pub struct Project {
    /// The folder with the workspace manifest.
    pub root: PathBuf,
    /// Where cargo builds to.
    pub target: PathBuf,
    ignore_rust_version: bool,
}

impl Project {
    /// Finds the checkout by the manifest cargo runs us from.
    pub fn find() -> Result<Self> {
        let root = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(manifest) => Path::new(&manifest).parent().context("the manifest has no parent folder")?.to_path_buf(),
            None => std::env::current_dir().context("the current folder")?,
        };
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        let rustc = output(Command::new("rustc").arg("--version"))?;
        Ok(Self { root, target, ignore_rust_version: is_older(&rustc, DECLARED_RUSTC)? })
    }

    /// `cargo <subcommand>` in the checkout, with the flag that an older compiler needs.
    pub fn cargo(&self, subcommand: &[&str]) -> Command {
        let mut command = self.plain_cargo();
        command.args(subcommand);
        if self.ignore_rust_version {
            command.arg("--ignore-rust-version");
        }
        command
    }

    /// `cargo` in the checkout, for subcommands that build nothing.
    pub fn plain_cargo(&self) -> Command {
        // Not $CARGO: that names one toolchain's cargo, which does not find subcommands that rustup serves.
        let mut command = Command::new("cargo");
        // Packages outside the workspace then share its build folder.
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        for (name, _) in std::env::vars_os() {
            if is_cargo_private(&name) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Where the built server lies.
    pub fn binary(&self, is_release: bool) -> PathBuf {
        let name = format!("weir{}", std::env::consts::EXE_SUFFIX);
        self.target.join(if is_release { "release" } else { "debug" }).join(name)
    }

    /// A folder of our own below the build folder; made when missing.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    /// Like [`Self::scratch`], but empty.
    pub fn empty_scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        self.scratch(name)
    }
}

/// What `cargo run` puts into our environment would make a second cargo rebuild what depends on it.
fn is_cargo_private(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || matches!(&*name, "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH" | "CARGO")
}

fn is_older(version: &str, than: (u32, u32)) -> Result<bool> {
    let number = version.split_whitespace().nth(1).context("rustc --version names no version")?;
    let mut parts = number.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        bail!("rustc names version {number:?}, which is not understood");
    };
    Ok((major, minor) < than)
}

/// Runs a command to its end, its output going to ours; `Ok(false)` when it failed.
pub fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("starting {}", named(command)))?;
    Ok(status.success())
}

/// Runs a command to its end; an error when it failed.
pub fn must(command: &mut Command) -> Result<()> {
    if !succeeds(command)? {
        bail!("{} failed", named(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; an error, with what it complained of, when it failed.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", named(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", named(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn named(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args().take(3));
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The first of these programs that PATH has.
pub fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
    })
}

/// Whether cargo has this subcommand.
pub fn has_cargo_command(project: &Project, name: &str) -> bool {
    project.plain_cargo().args([name, "--version"]).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests;
