use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::FILES;
use crate::format::Document;
use crate::yaml::Kind;

fn yaml_files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            yaml_files(&entry.path(), &format!("{prefix}{name}/"), found);
        } else if name.ends_with(".yaml") {
            found.insert(format!("{prefix}{name}"));
        }
    }
}

#[test]
fn every_file_of_the_folder_is_shipped() {
    let mut found = BTreeSet::new();
    yaml_files(&Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../blueprints"), "", &mut found);
    let listed: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, listed);
    assert_eq!(FILES.len(), listed.len());
}

#[test]
fn every_shipped_blueprint_can_be_read_and_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for (path, text) in FILES {
        let document = Document::parse(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let metadata = document.metadata.unwrap_or_else(|| panic!("{path} has no name"));
        assert_eq!(metadata.is_instantiated(), !path.starts_with("example/"), "{path}");
        assert!(names.insert(metadata.name), "{path}");
        assert!(!document.entries.is_empty(), "{path}");
    }
}

#[test]
fn ids_are_unique_and_key_of_names_an_earlier_entry() {
    for (path, text) in FILES {
        let mut ids = BTreeSet::new();
        for entry in Document::parse(text).unwrap().entries {
            for (_, value) in entry.identifiers.iter().chain(&entry.attrs) {
                let items = match &value.kind {
                    Kind::Sequence(items) => items.iter().collect(),
                    _ => vec![value],
                };
                for item in items {
                    if let Kind::Tag(tag) = &item.kind
                        && let crate::tags::Tag::KeyOf(id) = tag.as_ref()
                    {
                        assert!(ids.contains(id), "{path}: {id} is not known at line {}", item.line);
                    }
                }
            }
            if let Some(id) = entry.id {
                assert!(ids.insert(id.clone()), "{path}: {id} twice");
            }
        }
    }
}

#[test]
fn blueprints_that_name_others_come_after_them() {
    let mut seen = BTreeSet::new();
    for (path, text) in FILES {
        for line in text.lines().filter_map(|line| line.strip_prefix("        name: Default - ")) {
            assert!(seen.contains(&format!("Default - {line}")), "{path} needs {line}");
        }
        seen.insert(Document::parse(text).unwrap().metadata.unwrap().name);
    }
}
