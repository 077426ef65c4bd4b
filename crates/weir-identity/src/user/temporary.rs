//! Accounts that were made for a while, e.g. for somebody whom a source does not name for good.

use crate::{User, kind};
use chrono::{DateTime, Utc};
use weir_core::{ApiError, validate};
use weir_resource::{Actor, Site, Unit, store};
use weir_store::{StoreError, Val};

/// Attribute: the account was made by a program.
const GENERATED: &str = "goauthentik.io/user/generated";
/// Attribute: the account goes when its person signs out.
pub(crate) const DELETE_ON_LOGOUT: &str = "goauthentik.io/user/delete-on-logout";
/// Attribute: when such an account goes, in seconds since 1970 or as a date.
const EXPIRES: &str = "goauthentik.io/user/expires";
/// What decides whether and when an account goes by itself.
pub(super) const ATTRIBUTES: [&str; 3] = [GENERATED, EXPIRES, DELETE_ON_LOGOUT];
/// Accounts of one look.
const BATCH: i64 = 200;

/// The time that a text of the attribute means.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let seconds = whole.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    seconds.or_else(|| validate::parse_time(text))
}

/// Deletes generated accounts that have ended. Returns how many.
///
/// # Errors
/// Those of the store.
pub async fn delete_ended(site: &Site) -> Result<u64, ApiError> {
    let users = kind::<User>(site)?;
    let dialect = site.db.dialect();
    let (generated, expires) = (dialect.json_text("attributes", "$1"), dialect.json_text("attributes", "$2"));
    let sql = format!(
        "SELECT id, {expires} AS ends FROM identity_user WHERE id > $3 AND {generated} = 'true' \
         AND {expires} IS NOT NULL AND \"type\" <> 'internal_service_account' ORDER BY id LIMIT $4"
    );
    let (mut after, mut deleted) = (i64::MIN, 0);
    loop {
        let vals: [Val; 4] =
            [dialect.json_path(&[GENERATED]), dialect.json_path(&[EXPIRES]), after.into(), BATCH.into()];
        let rows = site.db.read(&sql, &vals).await.map_err(store)?;
        let found: Result<Vec<(i64, String)>, StoreError> =
            rows.iter().map(|row| Ok((row.int("id")?, row.text("ends")?))).collect();
        let found = found.map_err(store)?;
        let Some((last, _)) = found.last() else { return Ok(deleted) };
        after = *last;
        let now = site.clock.now();
        for (id, _) in found.iter().filter(|(_, text)| time(text).is_some_and(|end| end <= now)) {
            // One at a time: what hangs on an account can be much.
            let mut unit = Unit::new(site, Actor::system());
            unit.delete(users, &id.to_string()).await?;
            unit.commit().await?;
            deleted += 1;
        }
    }
}
