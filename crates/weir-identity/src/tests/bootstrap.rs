//! First start.

use super::*;
use crate::bootstrap::{ADMIN_USERNAME, READ_ONLY, TOKEN_IDENTIFIER};

fn options() -> BootstrapOptions {
    BootstrapOptions {
        password_hash: Some("hash".to_owned()),
        email: Some("root@example.org".to_owned()),
        token: Some("a-given-key".to_owned()),
    }
}

#[tokio::test]
async fn the_first_start_makes_the_administrator_and_the_read_only_role_once() {
    let f = fixture().await;
    let outcome = crate::bootstrap(&f.site, &options()).await.unwrap();
    let BootstrapOutcome::Created { admin } = outcome else { panic!("nothing was made") };
    let account = f.account(admin).await;
    assert_eq!((account.username.as_str(), account.email.as_str()), (ADMIN_USERNAME, "root@example.org"));
    assert!(membership::is_superuser(&*f.db, admin).await.unwrap());
    assert_eq!(crate::accounts::password_hash(&*f.db, admin).await.unwrap().as_deref(), Some("hash"));
    let (token, owner) = token::authenticate(&*f.db, "a-given-key", &[Intent::Api], f.now()).await.unwrap().unwrap();
    assert_eq!((token.identifier.as_str(), owner.id, token.expiring), (TOKEN_IDENTIFIER, admin, false));
    let group = membership::group_by_name(&*f.db, READ_ONLY).await.unwrap().unwrap();
    let reader = f.make::<User>(json!({"username": "r", "name": "", "groups": [group.id]})).await.int_pk();
    let grants = Grants::load(&*f.db, reader).await.unwrap();
    for kind in f.site.registry.all() {
        assert!(grants.may(&kind.permission("view"), None), "{}", kind.model);
        assert!(!grants.may(&kind.permission("change"), None), "{}", kind.model);
    }
    f.remove::<User>(&admin.to_string()).await;
    f.remove::<User>(&reader.to_string()).await;
    assert_eq!(crate::bootstrap(&f.site, &options()).await.unwrap(), BootstrapOutcome::AlreadyDone);
    assert!(f.list::<User>(&[], "pk").await.unwrap().is_empty());
}

#[tokio::test]
async fn two_nodes_that_start_together_make_one_administrator() {
    let f = fixture().await;
    let other = f.other_node().await;
    let (options_a, options_b) = (options(), options());
    let (one, two) = tokio::join!(crate::bootstrap(&f.site, &options_a), crate::bootstrap(&other, &options_b));
    let made = [one.unwrap(), two.unwrap()];
    assert_eq!(made.iter().filter(|o| matches!(o, BootstrapOutcome::Created { .. })).count(), 1);
    assert_eq!(f.list::<User>(&[], "username").await.unwrap(), [ADMIN_USERNAME]);
}

#[tokio::test]
async fn an_installation_with_users_is_left_alone() {
    let f = fixture().await;
    f.user("ann").await;
    assert_eq!(crate::bootstrap(&f.site, &options()).await.unwrap(), BootstrapOutcome::AlreadyDone);
    assert_eq!(f.list::<User>(&[], "username").await.unwrap(), ["ann"]);
}

#[tokio::test]
async fn what_was_taken_from_the_read_only_role_stays_away() {
    let f = fixture().await;
    crate::bootstrap(&f.site, &BootstrapOptions::default()).await.unwrap();
    let role =
        f.db.read_one("SELECT id FROM identity_role WHERE name = $1", &[READ_ONLY.into()]).await.unwrap().unwrap();
    let wanted =
        permission::Assignment { permissions: vec!["authentik_core.view_token".to_owned()], ..Default::default() };
    let mut unit = Unit::new(&f.site, acting(None));
    permission::unassign(&mut unit, &role.text("id").unwrap(), &wanted).await.unwrap();
    unit.commit().await.unwrap();
    crate::bootstrap(&f.site, &BootstrapOptions::default()).await.unwrap();
    let sql = "SELECT id FROM identity_role_permission WHERE permission = 'authentik_core.view_token'";
    assert!(f.db.read(sql, &[]).await.unwrap().is_empty());
}

#[test]
fn first_start_secrets_do_not_show_in_logs() {
    let shown = format!("{:?}", options());
    assert!(!shown.contains("a-given-key") && !shown.contains("\"hash\""), "{shown}");
}
