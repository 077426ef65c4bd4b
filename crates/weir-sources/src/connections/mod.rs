//! Who and what here is connected with whom and what at a source. One row for each pair; what the provider gave to act
//! in somebody's name is kept beside it and never shown.

mod group;
mod rows;
mod user;

pub use group::{GroupConnectionHooks, GroupOAuthConnection, GroupSourceConnection};
pub use rows::{
    Connected, NewConnection, connect, connect_group, find, find_group, find_of_user, forget_other_groups, renew,
};
pub use user::{UserConnectionHooks, UserOAuthConnection, UserSourceConnection};

use crate::base;
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Family, Map};
use weir_resource::{Presenting, Stored, present_one};

/// Word for OAuth sources in the column `kind`.
pub const OAUTH: &str = "oauth";

/// Adds `source_obj` to answers.
async fn add_sources(cx: &Presenting<'_>, rows: &[Stored], answers: &mut [Map]) -> Result<(), ApiError> {
    for (row, answer) in rows.iter().zip(answers) {
        let source = Uuid::parse_str(row.text("source")).ok().and_then(|id| cx.snapshot.find(id));
        let shown = match source {
            Some(source) => {
                let mut shown = present_one(cx, &Stored::of(source)).await?;
                weir_http::keep_shared(&mut shown, Family::Source);
                base::add_pictures(cx.site, &Stored::of(source), &mut shown);
                Value::Object(shown)
            }
            None => Value::Null,
        };
        answer.insert("source_obj".to_owned(), shown);
    }
    Ok(())
}

/// The sources whose slug is this, as the condition of a list.
fn slug_condition(site: &weir_resource::Site, slug: &str) -> weir_resource::Condition {
    let snapshot = site.snapshot();
    let found = site
        .registry
        .family(Family::Source)
        .into_iter()
        .find_map(|kind| snapshot.by_unique(kind.model, "slug", slug).map(|source| source.id.to_string()));
    match found {
        Some(key) => weir_resource::Condition::new("source = ?", vec![key.into()]),
        None => weir_resource::Condition::new("1 = 0", Vec::new()),
    }
}
