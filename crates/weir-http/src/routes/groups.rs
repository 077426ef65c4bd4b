//! Members of groups.

use crate::{Access, Call, Reply, Route};
use schemars::JsonSchema;
use serde::Deserialize;
use weir_core::ApiError;
use weir_identity::{User, accounts, group, kind};
use weir_resource::{Unit, Visible, store};

const GROUP: &str = "authentik_core.group";

pub(super) fn routes() -> Vec<Route> {
    let rule = |permission| Access::Object { model: GROUP, permission };
    vec![
        Route::new("core_groups_add_user_create", rule("authentik_core.add_user_to_group"), |c| set(c, true)),
        Route::new("core_groups_remove_user_create", rule("authentik_core.remove_user_from_group"), |c| set(c, false)),
    ]
}

/// A user by key.
#[derive(Deserialize, JsonSchema)]
pub(super) struct UserBody {
    /// Key of the user.
    pub(super) pk: i64,
}

/// 404 for a user that does not exist or may not be seen.
pub(super) async fn check_user(call: &Call, pk: i64) -> Result<(), ApiError> {
    let sees = match call.visible(kind::<User>(&call.app.site)?)? {
        Some(Visible::All) => true,
        Some(Visible::Some { keys, .. }) => keys.contains(&pk.to_string()),
        None => false,
    };
    let found = sees && accounts::find(&call.app.site.db, pk).await.map_err(store)?.is_some();
    if found { Ok(()) } else { Err(crate::error::no_object("User")) }
}

async fn set(mut call: Call, member: bool) -> Result<Reply, ApiError> {
    let body: UserBody = call.typed().await?;
    check_user(&call, body.pk).await?;
    let mut unit = Unit::new(&call.app.site, call.actor());
    group::set_user(&mut unit, &call.target()?.pk, body.pk, member).await?;
    unit.commit().await?;
    Ok(Reply::none())
}
