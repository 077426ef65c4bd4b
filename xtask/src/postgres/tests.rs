use super::*;

#[test]
fn the_database_of_an_address_is_exchanged_and_its_options_stay() {
    let url = "postgres://me:secret@db.example:5433/postgres?sslmode=disable";
    assert_eq!(with_database(url, "one").unwrap(), "postgres://me:secret@db.example:5433/one?sslmode=disable");
    assert_eq!(with_database("postgres://localhost", "two").unwrap(), "postgres://localhost/two");
}

#[test]
fn something_that_is_no_address_is_refused() {
    assert!(with_database("localhost", "one").is_err());
}

#[test]
fn the_newest_version_is_preferred() {
    assert!(version_of(Path::new("/usr/lib/postgresql/15/bin")) > version_of(Path::new("/usr/lib/postgresql/9/bin")));
    assert_eq!(version_of(Path::new("/opt/pg/bin")), 0);
}
