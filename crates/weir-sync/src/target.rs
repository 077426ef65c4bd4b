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
use weir_core::Map;
use weir_resource::{AnyPropertyMapping, Stored};

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

/// The fields that all providers of outgoing sync have, as the engine reads them.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Mappings of users.
    pub user_mappings: Vec<weir_core::Ref<AnyPropertyMapping>>,
    /// Mappings of groups.
    pub group_mappings: Vec<weir_core::Ref<AnyPropertyMapping>>,
    /// Accounts of programs are left out.
    pub exclude_service_accounts: bool,
    /// Only members of this group, for targets that know the setting.
    pub filter_group: Option<uuid::Uuid>,
    /// Only these groups; all when empty.
    pub group_filters: Vec<uuid::Uuid>,
    /// Objects of a page.
    pub page_size: usize,
    /// Time for a page.
    pub page_timeout: std::time::Duration,
    /// Nothing is changed there.
    pub dry_run: bool,
    /// What is there already is looked for before a full sync.
    pub discovery: bool,
    /// The target must prove who it is.
    pub verify: bool,
}

/// An object at the target.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    /// What the target calls it.
    pub id: String,
    /// What it tells of it, or what it was told.
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

    /// Makes the object there, or finds the one that is the same. `members` are those of a group.
    async fn create(&self, wire: &Wire<'_>, model: Model, data: &Map, members: &[String]) -> Result<Remote, Failure>;

    /// Brings the object there to this state; gives what it is called then.
    async fn update(
        &self,
        wire: &Wire<'_>,
        model: Model,
        id: &str,
        data: &Map,
        members: &[String],
    ) -> Result<String, Failure>;

    /// Removes the object there, or whatever the provider wants instead.
    async fn remove(&self, wire: &Wire<'_>, model: Model, id: &str) -> Result<(), Failure>;

    /// Whether members travel with the group itself instead of [`Target::members`].
    async fn members_travel(&self, wire: &Wire<'_>) -> bool;

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
}
