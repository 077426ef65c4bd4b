//! What follows from events: rules that look at each of them, transports that carry notifications, the notifications
//! themselves, and exports of lists.
//!
//! When events get their place in the chain, the stretch of new places is written down for the rules in the same
//! transaction ([`announce`]); a task ([`Dispatch`]) asks them, event by event, and another one ([`Deliver`]) carries each
//! notification that has to leave the house. So no event waits for a policy, and none is looked at twice.

mod deliver;
mod dispatch;
mod event;
mod export;
mod gate;
mod notification;
mod routes;
mod rule;
#[cfg(test)]
mod tests;
mod transport;
mod webhook;

pub use deliver::Deliver;
pub use dispatch::{Dispatch, announce};
pub use export::{DataExport, Export};
pub use notification::Notification;
pub use routes::routes;
pub use rule::{NotificationRule, Severity};
pub use transport::{NotificationTransport, TransportMode};

use std::sync::Arc;
use weir_core::{Resource, ResourceType};
use weir_mail::Mailer;
use weir_resource::HookSet;

/// In the details of events that rules and their notifications cause: no rule looks at those, or two could keep each
/// other busy for ever.
pub const MARK: &str = "notification_rule";

/// Whether a task belongs to rules and notifications.
pub fn is_own_task(actor: &str) -> bool {
    [DISPATCH, DELIVER].contains(&actor)
}

/// Name of the tasks that ask the rules. Arguments: `first`, the first place of the stretch.
pub const DISPATCH: &str = "event_rules";
/// Name of the tasks that carry a notification. Arguments: `transport`, `event`, `user`, `severity`,
/// `until` (microseconds; given up then).
pub const DELIVER: &str = "notification";

/// Name of the tasks that make the file of an export. Arguments: `export`, its key.
pub const EXPORT: &str = "data_export";

/// The definitions of this crate.
pub fn resources() -> Vec<ResourceType> {
    vec![
        ResourceType::of::<DataExport>(),
        ResourceType::of::<Notification>(),
        ResourceType::of::<NotificationRule>(),
        ResourceType::of::<NotificationTransport>(),
    ]
}

/// Their special behaviour.
pub fn hooks(set: &mut HookSet, mail: &Arc<Mailer>) {
    set.add(DataExport::MODEL, Arc::new(export::ExportHooks));
    set.add(Notification::MODEL, Arc::new(notification::NotificationHooks));
    set.add(NotificationRule::MODEL, Arc::new(rule::RuleHooks));
    set.add(NotificationTransport::MODEL, Arc::new(transport::TransportHooks(Arc::clone(mail))));
}
