//! Entitlements of users in an application: the definition stands above this crate, the question is asked from
//! expressions too.

use crate::PolicyBinding;
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;
use weir_identity::{Reader, membership};
use weir_resource::{Object, Snapshot};
use weir_store::StoreError;

/// The model of applications.
pub const APPLICATION: &str = "authentik_core.application";
/// The model of entitlements.
pub const MODEL: &str = "authentik_core.applicationentitlement";

/// What a user is entitled to in an application, by name. One binding that fits is enough, a negated one included;
/// an entitlement that nothing is bound to is nobody's.
///
/// # Errors
/// Those of the store.
pub async fn of_user(
    reader: impl Reader,
    snapshot: &Snapshot,
    user: i64,
    application: Uuid,
) -> Result<Vec<Arc<Object>>, StoreError> {
    let all = snapshot.referring(&application.to_string());
    let mut all: Vec<Arc<Object>> =
        all.filter(|(o, field)| o.kind.model == MODEL && *field == "app").map(|(o, _)| Arc::clone(o)).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let groups = membership::groups_of(reader, user).await?;
    let groups: BTreeSet<Uuid> = groups.into_iter().map(|group| group.id).collect();
    let fits = |binding: &PolicyBinding| {
        let matches = match (&binding.group, &binding.user) {
            (Some(group), _) => groups.contains(group.pk()),
            (None, Some(other)) => *other.pk() == user,
            (None, None) => return false,
        };
        binding.enabled && matches != binding.negate
    };
    all.retain(|object| snapshot.referring_by::<PolicyBinding>(object.id, "target").iter().any(|(_, b)| fits(b)));
    all.sort_by(|a, b| a.text("name").cmp(b.text("name")));
    Ok(all)
}
