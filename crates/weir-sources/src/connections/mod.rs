//! Who and what here is connected with whom and what at a source. One row for each pair; what the provider gave to act
//! in somebody's name is kept beside it and never shown.

mod group;
mod kind;
mod rows;
mod user;

pub use group::{GroupConnection, GroupConnectionHooks};
pub use kind::{Connects, Names, Nothing, OAuthTokens};
pub use rows::{
    Connected, NewConnection, connect, connect_group, find, find_group, find_of_user, forget_other_groups, renew,
};
pub use user::{UserConnection, UserConnectionHooks};

use crate::base;
use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use weir_core::{ApiError, Family, Map, Ref};
use weir_resource::{Presenting, Stored, Unit, present_one};

/// Word for OAuth sources in the column `kind`.
pub const OAUTH: &str = "oauth";

/// What connections of users and of groups have in common.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(bound = "")]
#[schemars(bound = "S: Connects")]
pub struct OfSource<S: Connects> {
    /// The source.
    pub source: Ref<S>,
    /// What tells the person or group from all others at the source.
    #[schemars(length(min = 1))]
    pub identifier: String,
    /// When the connection was made.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub created: Option<DateTime<Utc>>,
    /// When it was last written.
    #[serde(default)]
    #[schemars(extend("readOnly" = true))]
    pub last_updated: Option<DateTime<Utc>>,
}

/// Notes when a connection is made and written.
fn stamp(unit: &Unit<'_>, old: Option<&Stored>, new: &mut Map) {
    let now = unit.site.clock.now().to_rfc3339_opts(SecondsFormat::Micros, true);
    if old.is_none() {
        new.insert("created".to_owned(), now.clone().into());
    }
    new.insert("last_updated".to_owned(), now.into());
}

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
