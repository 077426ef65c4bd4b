//! Nobody gives away more than they have, not even to users to come.

use async_trait::async_trait;
use weir_core::{ApiError, Map};
use weir_identity::{Grants, permission};
use weir_resource::{Hooks, Stored, Unit, store};

/// See [`UserWriteStage`](super::UserWriteStage).
pub struct UserWriteHooks;

const GROUP: &str = "create_users_group";

#[async_trait]
impl Hooks for UserWriteHooks {
    async fn prepare(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &mut Map) -> Result<(), ApiError> {
        let Some(actor) = unit.actor.user_id else { return Ok(()) };
        let Some(group) = new.get(GROUP).and_then(|group| group.as_str()).map(str::to_owned) else { return Ok(()) };
        if old.is_some_and(|old| old.text(GROUP) == group) {
            return Ok(());
        }
        let grants = Grants::load(&mut unit.tx, actor).await.map_err(store)?;
        permission::check_groups(&mut unit.tx, &grants, GROUP, &[group]).await
    }
}
