//! What the engine asks of a kind of target.

use crate::{
    connection::Tables,
    state::Model,
    wire::{Failure, Wire},
};
use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;
use weir_core::{DurationText, Map, Ref, Resource};
use weir_resource::{AnyPropertyMapping, Stored};
use weir_store::StoreError;

/// What stays as it is in a segment of an address.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// A text as a segment of an address.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// What happens at the target to what is gone here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeleteAction {
    /// It stays.
    DoNothing,
    /// It goes.
    #[default]
    Delete,
    /// It stays and cannot be used.
    Suspend,
}

fn yes() -> bool {
    true
}

fn page_size() -> i32 {
    100
}

fn page_timeout() -> DurationText {
    "minutes=30".into()
}

/// The settings that providers of all kinds have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// Mappings that make the users there.
    #[serde(default)]
    pub property_mappings: Vec<Ref<AnyPropertyMapping>>,
    /// Mappings that make the groups there.
    #[serde(default)]
    pub property_mappings_group: Vec<Ref<AnyPropertyMapping>>,
    /// Accounts of programs are left out.
    #[serde(default)]
    pub exclude_users_service_account: bool,
    /// Objects of a page.
    #[serde(default = "page_size")]
    #[schemars(range(min = 1, max = 2147483647))]
    pub sync_page_size: i32,
    /// Time for a page.
    #[serde(default = "page_timeout")]
    pub sync_page_timeout: DurationText,
    /// Users and groups that are there already are looked for.
    #[serde(default = "yes")]
    pub discovery_enabled: bool,
    /// Nothing is changed there.
    #[serde(default)]
    pub dry_run: bool,
}

impl Common {
    /// Objects of a page, one at least.
    pub fn page_size(&self) -> usize {
        usize::try_from(self.sync_page_size).unwrap_or(1).max(1)
    }

    /// Time for a page, a second at least.
    pub fn page_timeout(&self) -> Duration {
        self.sync_page_timeout.delta().to_std().unwrap_or_default().max(Duration::from_secs(1))
    }
}

/// The settings of a provider, as the engine reads them.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Those of all kinds.
    pub common: Common,
    /// Only members of this group, for kinds that know the setting.
    pub filter_group: Option<Uuid>,
    /// Only these groups; all when empty.
    pub group_filters: Vec<Uuid>,
    /// The target must prove who it is.
    pub verify: bool,
}

/// Reads the settings of a provider.
///
/// # Errors
/// [`Failure::Stop`] when they cannot be read.
pub fn read<T: Resource>(provider: &Stored) -> Result<T, Failure> {
    let doc = serde_json::Value::Object(provider.doc.clone());
    serde_json::from_value(doc).map_err(|error| Failure::Stop(format!("The provider cannot be read: {error}")))
}

/// The folder of users or groups, as clouds name it.
pub fn folder(model: Model) -> &'static str {
    match model {
        Model::User => "users",
        Model::Group => "groups",
    }
}

/// A text of what is sent, empty when absent.
pub fn text<'a>(data: &'a Map, name: &str) -> &'a str {
    data.get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// An object at the target.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// What the target calls it.
    pub id: String,
    /// What it tells of it.
    pub attributes: Map,
}

/// What a prepared object is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Users or groups.
    pub model: Model,
    /// The identifier given to other systems: a user's uid, a group's key.
    pub external_id: &'a str,
    /// The name here: username, or name of the group.
    pub name: &'a str,
}

/// A target of one kind, ready for calls. Nothing here may touch the store.
#[async_trait]
pub trait Target: Send + Sync {
    /// Completes and checks what the mappings gave.
    async fn prepare(&self, wire: &Wire<'_>, subject: Subject<'_>, data: Map) -> Result<Map, Failure>;

    /// Makes the object there; gives what it is called then. `members` are those of a group. When there is one like it
    /// already, or the target does not tell what it made, that is a [`Failure::Conflict`], and the engine looks for it.
    async fn create(&self, wire: &Wire<'_>, model: Model, data: &Map, members: &[String]) -> Result<String, Failure>;

    /// The names of what a target tells objects apart by.
    fn marks(&self, model: Model) -> &'static [&'static str];

    /// What the target calls the object with these marks; none when there is none, or it cannot be asked.
    async fn seek(&self, wire: &Wire<'_>, model: Model, marks: &Map) -> Result<Option<String>, Failure>;

    /// Brings the object there to this state; gives what it is called then.
    async fn update(
        &self,
        wire: &Wire<'_>,
        model: Model,
        id: &str,
        data: &Map,
        members: &[String],
    ) -> Result<String, Failure>;

    /// Closes a user's account there and changes nothing else of it.
    async fn suspend(&self, wire: &Wire<'_>, id: &str) -> Result<(), Failure>;

    /// Removes the object there, or whatever the provider wants instead.
    async fn remove(&self, wire: &Wire<'_>, model: Model, id: &str) -> Result<(), Failure>;

    /// Whether members travel with the group itself instead of [`Target::members`].
    async fn members_travel(&self, wire: &Wire<'_>) -> bool;

    /// Members that are told in one go.
    fn members_at_once(&self) -> usize;

    /// Adds and removes members of a group there.
    async fn members(&self, wire: &Wire<'_>, group: &str, add: &[String], remove: &[String]) -> Result<(), Failure>;

    /// A page of what is there, and where the next begins.
    async fn discover(
        &self,
        wire: &Wire<'_>,
        model: Model,
        from: Option<&str>,
    ) -> Result<(Vec<Remote>, Option<String>), Failure>;

    /// Names by which an object there may be one here: usernames and addresses, or names of groups.
    fn names(&self, model: Model, remote: &Remote) -> Vec<String>;

    /// Parts of what was sent that are neither kept nor compared: secrets of a creation.
    fn fleeting(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A kind of provider that the engine serves.
#[async_trait]
pub trait Kind: Send + Sync {
    /// Model of the provider.
    fn model(&self) -> &'static str;
    /// Where its connections are.
    fn tables(&self) -> Tables;
    /// The settings that the engine reads.
    fn terms(&self, provider: &Stored) -> Result<Terms, Failure>;
    /// The target; may fetch a token.
    async fn open<'a>(
        &'a self,
        cx: &'a crate::engine::Engine,
        number: i64,
        provider: &Stored,
        wire: &Wire<'_>,
    ) -> Result<Box<dyn Target + 'a>, Failure>;
    /// What was kept about a provider is forgotten.
    fn forget(&self, number: i64);
    /// The target refused this `Authorization`. If it is the one in use, it is not used again; whether it is not, or was
    /// over anyway.
    async fn refused(&self, cx: &crate::engine::Engine, number: i64, sent: &str) -> Result<bool, StoreError>;
}
