//! Stage without a row in a source's flow: connects the user, and makes their groups those that the source told.

use crate::{
    base::GroupMatchingMode,
    connections::{self, NewConnection},
    say,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use weir_core::{ApiError, Map, validate::Mode};
use weir_events::action;
use weir_flow::{
    Outcome, Reject, Stage, StageCx, View, planner,
    stage::{NoChallenge, NoResponse, Person},
};
use weir_identity::{attributes, kind, membership};
use weir_store::StoreError;

/// A group of a person at a source, with the properties after mapping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What tells the group from all others at the source.
    pub identifier: String,
    /// `name` and `attributes` count.
    pub properties: Map,
}

/// What the flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The connection is there.
    Connection,
    /// A user who was found is connected.
    Link,
    /// A new user is connected.
    Enrolment,
}

/// What to connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConnectConfig {
    /// The source.
    pub source: Uuid,
    /// Application label of its kind.
    pub app: String,
    /// Its kind.
    pub kind: String,
    /// Who it is there.
    pub identifier: String,
    /// Opens the profile.
    pub access_token: Option<String>,
    /// Gets a new one.
    pub refresh_token: Option<String>,
    /// End of the access token.
    pub expires: Option<DateTime<Utc>>,
    /// What the flow is for.
    pub kept: Kept,
    /// The groups that the source told, if it tells any.
    pub groups: Option<Vec<Group>>,
}

impl ConnectConfig {
    fn connection(&self) -> NewConnection<'_> {
        NewConnection {
            kind: &self.kind,
            source: self.source,
            identifier: &self.identifier,
            access_token: self.access_token.as_deref(),
            refresh_token: self.refresh_token.as_deref(),
            expires: self.expires,
        }
    }
}

/// The kind.
pub struct Connect;

impl Connect {
    /// Model of the kind.
    pub const MODEL: &'static str = "weir_sources.connect";

    /// How groups of the source become groups here; none when the source is gone or switched off.
    fn source(cx: &StageCx<'_>, id: Uuid) -> Option<GroupMatchingMode> {
        let object = cx.unit.snapshot.find(id).filter(|o| o.doc.get("enabled") == Some(&Value::Bool(true)))?;
        let mode = object.doc.get("group_matching_mode").cloned();
        Some(mode.and_then(|mode| serde_json::from_value(mode).ok()).unwrap_or_default())
    }

    async fn groups(
        cx: &mut StageCx<'_>,
        config: &ConnectConfig,
        mode: GroupMatchingMode,
        user: i64,
        groups: &[Group],
    ) -> Result<(), Reject> {
        let mut joined = Vec::new();
        for group in groups {
            if let Some(id) = Self::group(cx, config, mode, group).await? {
                joined.push(id);
            }
        }
        for group in &joined {
            membership::join(&mut cx.unit.tx, user, *group).await?;
        }
        connections::forget_other_groups(&mut cx.unit.tx, config.source, user, &joined).await?;
        Ok(())
    }

    /// The group here that stands for one at the source; none when it is passed over.
    async fn group(
        cx: &mut StageCx<'_>,
        config: &ConnectConfig,
        mode: GroupMatchingMode,
        group: &Group,
    ) -> Result<Option<Uuid>, Reject> {
        let new = NewConnection { identifier: &group.identifier, ..config.connection() };
        if let Some(id) = connections::find_group(&mut cx.unit.tx, config.source, &group.identifier).await? {
            Self::update(cx, id, group).await?;
            return Ok(Some(id));
        }
        let name = group.properties.get("name").and_then(Value::as_str).unwrap_or(&group.identifier).to_owned();
        let there = by_name(cx, &name).await?;
        let id = match (there, mode) {
            (Some(id), GroupMatchingMode::NameLink) => id,
            (Some(_), GroupMatchingMode::NameDeny | GroupMatchingMode::Identifier) => {
                // A group that was made here must not be filled from elsewhere by having the same name.
                tracing::info!(name, "a group of a source is passed over: its name is taken");
                return Ok(None);
            }
            (None, _) => {
                let mut body = Map::from_iter([("name".to_owned(), name.into())]);
                if let Some(attributes @ Value::Object(_)) = group.properties.get("attributes") {
                    body.insert("attributes".to_owned(), attributes.clone());
                }
                let groups = kind::<weir_identity::Group>(&cx.app.site)?;
                match cx.unit.create(groups, &body, None).await {
                    Ok(made) => Uuid::parse_str(&made.pk).map_err(anyhow::Error::new)?,
                    Err(ApiError::Fields(errors)) => {
                        tracing::warn!(refused = ?errors.to_rest(), "a group of a source cannot be made");
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let now = cx.now();
        Ok(connections::connect_group(&mut cx.unit.tx, now, id, &new).await?)
    }

    /// Lays attributes that mappings gave over those of a connected group.
    async fn update(cx: &mut StageCx<'_>, id: Uuid, group: &Group) -> Result<(), Reject> {
        let Some(Value::Object(told)) = group.properties.get("attributes") else { return Ok(()) };
        let groups = kind::<weir_identity::Group>(&cx.app.site)?;
        let Some(stored) = cx.unit.find(groups, &id.to_string()).await? else { return Ok(()) };
        let before = stored.doc.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut after = before.clone();
        attributes::merge(&mut after, told);
        if after != before {
            let body = Map::from_iter([("attributes".to_owned(), Value::Object(after))]);
            cx.unit.update(groups, &id.to_string(), &body, Mode::Patch).await?;
        }
        Ok(())
    }
}

async fn by_name(cx: &mut StageCx<'_>, name: &str) -> Result<Option<Uuid>, StoreError> {
    let row = cx.unit.tx.read_one("SELECT id FROM identity_group WHERE name = $1", &[name.into()]).await?;
    row.map(|row| row.uuid("id")).transpose()
}

#[async_trait]
impl Stage for Connect {
    const MODEL: &'static str = Self::MODEL;
    type Config = ConnectConfig;
    type Challenge = NoChallenge;
    type Response = NoResponse;

    fn is_silent(&self, _config: &ConnectConfig) -> bool {
        true
    }

    async fn view(&self, cx: &mut StageCx<'_>, config: &ConnectConfig) -> Result<View<NoChallenge>, Reject> {
        let deny = |text: &str| Ok(View::Done(Outcome::Deny(Some(text.to_owned()))));
        let Some(mode) = Self::source(cx, config.source) else { return deny(say::NOT_MATCHED) };
        let Person::Known(account) = cx.pending().await? else { return Ok(View::Done(Outcome::Deny(None))) };
        let now = cx.now();
        // The plan may have come to be about somebody else; what was proven is this identity alone.
        match (config.kept, connections::find(&mut cx.unit.tx, config.source, &config.identifier).await?) {
            (_, Some(known)) if known.user == account.id => {}
            (_, Some(_)) | (Kept::Connection, None) => return deny(say::OTHERS),
            (Kept::Link | Kept::Enrolment, None) => {
                // Its keys must not come after a lockdown, which removes them.
                if !cx.lock_person(&account).await?
                    || !connections::connect(&mut cx.unit.tx, now, account.id, &config.connection()).await?
                {
                    return deny(say::OTHERS);
                }
                if config.kept == Kept::Link {
                    let source = planner::summary(&cx.unit.snapshot, config.source);
                    cx.event(action::SOURCE_LINKED, json!({"source": source}));
                }
            }
        }
        if let Some(groups) = &config.groups {
            // Groups are configuration for their readers: the lock comes before their rows.
            Self::groups(cx, config, mode, account.id, groups).await?;
        }
        Ok(View::Done(Outcome::Next))
    }

    async fn answer(&self, _: &mut StageCx<'_>, _: &ConnectConfig, _: NoResponse) -> Result<Outcome, Reject> {
        Ok(Outcome::Deny(None))
    }
}
