//! Objects of every resource type behind one interface: the configuration snapshot, the one write path (checks,
//! references, uniqueness, revisions, audit), lists and `used_by`. Knows no HTTP and no kind of object by name.
//!
//! Start at [`Site`] (what the process shares), then [`Unit`] (one transaction's work).

mod beside;
mod counts;
mod error;
mod hooks;
mod list;
mod list_query;
mod order;
mod pictures;
mod present;
mod referred;
mod secret_parts;
mod settings;
mod site;
mod snapshot;
mod table;
mod unit;
mod used_by;

pub use error::{store, store_at};
pub use hooks::{Condition, Counting, HookSet, Hooks, Keep, Presenting};
pub use list::{Page, Visible};
pub use list_query::{ListQuery, search_words};
pub use pictures::Pictures;
pub use present::{
    AnyConnector, AnyPolicy, AnyPolicyTarget, AnyPropertyMapping, AnyProvider, AnySource, AnyStage, family_fields,
    policy_target_uuid, present, present_one,
};
pub use settings::Settings;
pub use site::{Installation, Site, SiteParts, is_address};
pub use snapshot::{Object, Snapshot};
pub use table::TableRow;
pub use unit::{Actor, Stored, Unit};
pub use used_by::{UsedBy, used_by};
