use std::fs;
use std::path::PathBuf;

use super::{Library, content_hash};

/// A directory that goes away with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-blueprints-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.0.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn visible_yaml_files_are_found_with_name_hash_and_time() {
    let folder = Folder::new("visible");
    let text = "metadata: {name: Mine, labels: {blueprints.goauthentik.io/instantiate: 'false'}}";
    folder.write("sub/mine.yaml", text);
    folder.write("plain.yaml", "version: 1");
    folder.write("broken.yaml", "a: [");
    folder.write("other.yml", "version: 1");
    folder.write("notes.txt", "version: 1");
    folder.write(".hidden.yaml", "version: 1");
    folder.write(".git/x.yaml", "version: 1");
    fs::write(folder.0.join("latin.yaml"), [0xe9]).unwrap();
    let listing = Library::new(Some(folder.0.clone())).list();
    let own: Vec<_> = listing.files.iter().filter(|file| file.modified.is_some()).collect();
    assert_eq!(own.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["plain.yaml", "sub/mine.yaml"]);
    assert_eq!((own[0].name(), own[0].is_instantiated()), ("plain.yaml", true));
    assert_eq!((own[1].name(), own[1].is_instantiated()), ("Mine", false));
    assert_eq!(own[1].hash, content_hash(text));
    assert_eq!(own[1].hash.len(), 128);
    let skipped: Vec<_> = listing.skipped.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(skipped, ["broken.yaml", "latin.yaml"]);
}

#[test]
fn the_known_hash_of_a_text_does_not_change() {
    assert!(content_hash("abc").starts_with("ddaf35a193617abacc417349ae204131"));
}

#[test]
fn nothing_outside_the_directory_can_be_read() {
    let folder = Folder::new("outside");
    folder.write("secret.yaml", "version: 1");
    folder.write("root/inside.yaml", "version: 1");
    let root = folder.0.join("root");
    std::os::unix::fs::symlink("../secret.yaml", root.join("link.yaml")).unwrap();
    std::os::unix::fs::symlink("..", root.join("up")).unwrap();
    std::os::unix::fs::symlink("inside.yaml", root.join("same.yaml")).unwrap();
    let library = Library::new(Some(root));
    assert_eq!(library.read("inside.yaml").unwrap(), "version: 1");
    assert_eq!(library.read("same.yaml").unwrap(), "version: 1");
    let absolute = folder.0.join("secret.yaml");
    for path in [
        "../secret.yaml",
        "link.yaml",
        "up/secret.yaml",
        "./inside.yaml",
        "a/../inside.yaml",
        "",
        "/",
        "..",
        "inside",
        "inside.yaml\0",
        "..\\secret.yaml",
        absolute.to_str().unwrap(),
        "/etc/passwd",
    ] {
        if path != "./inside.yaml" {
            assert!(library.read(path).is_err(), "{path:?}");
        }
    }
    let paths: Vec<_> =
        library.list().files.into_iter().filter(|file| file.modified.is_some()).map(|file| file.path).collect();
    assert_eq!(paths, ["inside.yaml", "same.yaml"]);
}

#[test]
fn a_file_wins_over_a_shipped_one_and_without_a_directory_the_shipped_ones_remain() {
    let (path, text) = crate::shipped::FILES[0];
    let folder = Folder::new("wins");
    folder.write(path, "metadata: {name: Mine}");
    let library = Library::new(Some(folder.0.clone()));
    assert_eq!(library.read(path).unwrap(), "metadata: {name: Mine}");
    assert_eq!(Library::new(None).read(path).unwrap(), text);
    assert_eq!(library.list().files.len(), Library::new(None).list().files.len());
    assert_eq!(Library::new(Some(folder.0.join("missing"))).list().files.len(), crate::shipped::FILES.len());
}
