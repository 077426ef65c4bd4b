//! Finds blueprints: those shipped with the program and `*.yaml` files below a directory of the operator.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha512};

use crate::error::BlueprintError;
use crate::format::{Document, Metadata};
use crate::limits::MAX_TEXT_BYTES;
use crate::shipped;

#[cfg(test)]
mod tests;

type Result<T> = std::result::Result<T, BlueprintError>;

/// Folders nested deeper than this are not looked into.
const MAX_FOLDERS: usize = 16;
/// More files than this are not listed.
const MAX_FILES: usize = 10_000;

/// Where blueprints on disk are looked for.
#[derive(Clone, Debug, Default)]
pub struct Library {
    directory: Option<PathBuf>,
}

/// A blueprint that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct BlueprintFile {
    /// Path below the blueprints directory, with `/`.
    pub path: String,
    /// When the file was changed; shipped ones have no time of their own.
    pub modified: Option<DateTime<Utc>>,
    /// SHA-512 of the content, in hex.
    pub hash: String,
    /// Name and labels, if the file has any.
    pub metadata: Option<Metadata>,
}

impl BlueprintFile {
    /// The name of the instance made from it.
    pub fn name(&self) -> &str {
        self.metadata.as_ref().map_or(&self.path, |metadata| &metadata.name)
    }

    /// Whether an instance is to be made when it is found.
    pub fn is_instantiated(&self) -> bool {
        self.metadata.as_ref().is_none_or(Metadata::is_instantiated)
    }
}

/// What a look into the library found.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Readable blueprints, by path.
    pub files: Vec<BlueprintFile>,
    /// Files that are no blueprints, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// The hash by which a change of content is noticed.
pub fn content_hash(text: &str) -> String {
    Sha512::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Library {
    /// The shipped blueprints, and the files below `directory`. A file wins over a shipped one of the same path.
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// All blueprints that can be found now.
    pub fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let mut found = Vec::new();
        if let Some(directory) = &self.directory {
            walk(directory, &mut found);
        }
        for (path, _) in shipped::FILES {
            if !found.iter().any(|found| found == path) {
                found.push((*path).to_owned());
            }
        }
        found.sort();
        for path in found {
            match self.describe(&path) {
                Ok(file) => listing.files.push(file),
                Err(error) => listing.skipped.push((path, error.to_string())),
            }
        }
        listing
    }

    fn describe(&self, path: &str) -> Result<BlueprintFile> {
        let (text, modified) = self.open(path)?;
        let metadata = Document::parse_metadata(&text)?;
        Ok(BlueprintFile { path: path.to_owned(), modified, hash: content_hash(&text), metadata })
    }

    /// The text of a blueprint by its path below the directory. Nothing outside of it can be read.
    pub fn read(&self, path: &str) -> Result<String> {
        self.open(path).map(|(text, _)| text)
    }

    fn open(&self, path: &str) -> Result<(String, Option<DateTime<Utc>>)> {
        if let Some(directory) = &self.directory
            && let Some(file) = confined(directory, path)
        {
            return read_file(&file);
        }
        match shipped::find(path) {
            Some(text) => Ok((text.to_owned(), None)),
            None => Err(BlueprintError::invalid("There is no blueprint at this path")),
        }
    }
}

fn read_file(file: &Path) -> Result<(String, Option<DateTime<Utc>>)> {
    let failed = |_| BlueprintError::invalid("The file cannot be read");
    let opened = fs::File::open(file).map_err(failed)?;
    let modified = opened.metadata().and_then(|metadata| metadata.modified()).ok().map(DateTime::from);
    let mut bytes = Vec::new();
    opened.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(BlueprintError::invalid(format!("The file is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| BlueprintError::invalid("The file is not UTF-8 text"))?;
    Ok((text, modified))
}

/// The real file behind a path, if it is a visible `.yaml` file below the directory, links followed.
fn confined(directory: &Path, path: &str) -> Option<PathBuf> {
    if path.contains('\0') || path.contains('\\') || !path.ends_with(".yaml") {
        return None;
    }
    let relative = Path::new(path);
    let is_plain = relative.components().all(|part| match part {
        Component::Normal(name) => !name.to_string_lossy().starts_with('.'),
        _ => false,
    });
    if !is_plain {
        return None;
    }
    let root = directory.canonicalize().ok()?;
    let file = root.join(relative).canonicalize().ok()?;
    (file.starts_with(&root) && file.is_file()).then_some(file)
}

fn walk(root: &Path, found: &mut Vec<String>) {
    let mut folders = vec![(root.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // Names that are not UTF-8 could not be stored as the path of an instance.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || found.len() >= MAX_FILES {
                continue;
            }
            let path = format!("{prefix}{name}");
            // A linked folder could lead outside or in circles; a linked file is checked by `confined`.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth < MAX_FOLDERS {
                folders.push((entry.path(), format!("{path}/"), depth + 1));
            } else if confined(root, &path).is_some() {
                found.push(path);
            }
        }
    }
}
