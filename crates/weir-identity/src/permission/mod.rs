//! Permissions: what a user may do, the names that exist, giving and taking them, and the rule that
//! nobody gives away more than they have.

mod assign;
mod conferring;
mod entries;
mod names;

pub(crate) use assign::write as write_unchecked;
pub use assign::{Assignment, assign, find_any, forget_object, give_to_user, hooks, unassign, user_role};
pub use conferring::{check_acting_as, check_groups, check_roles, check_subset};
pub use entries::{Entry, assigned_view, global_of_role, objects_of_role, on_model};
pub use names::{PermissionInfo, SYSTEM_MODEL, all, find_id, number, system_codenames};

use crate::{Reader, accounts::INTERNAL_SERVICE_ACCOUNT, membership::UP};
use std::collections::{BTreeMap, BTreeSet};
use weir_core::{Family, Reach, ResourceType};
use weir_resource::Visible;
use weir_store::StoreError;

/// No user's key.
const NOBODY: i64 = -1;

/// Everything a user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Member of a superuser group. Whether every check is passed says [`Grants::all`].
    pub superuser: bool,
    /// Inactive users pass none.
    pub active: bool,
    /// An outpost's account: lists it may not see are empty to it instead of forbidden.
    pub is_outpost: bool,
    /// Permissions on all objects.
    pub global: BTreeSet<String>,
    /// Permissions on single objects: permission → keys.
    pub objects: BTreeMap<String, BTreeSet<String>>,
}

impl Grants {
    /// Those of nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of a user, through own roles and those of all groups and their ancestors. Of an inactive user they are what
    /// the account would have again: they count for nobody else's rights, but whoever can get into the account gets them
    /// with it.
    pub async fn load(mut reader: impl Reader, user_id: i64) -> Result<Self, StoreError> {
        let sql = format!(
            "{UP} SELECT u.is_active, u.\"type\" AS kind, (SELECT COUNT(*) FROM identity_group g JOIN up ON up.id = g.id \
             WHERE g.is_superuser = TRUE) AS superuser FROM identity_user u WHERE u.id = $1"
        );
        let Some(row) = reader.read_one(&sql, &[user_id.into()]).await? else { return Ok(Self::none()) };
        let mut grants = Self {
            superuser: row.int("superuser")? > 0,
            active: row.bool("is_active")?,
            is_outpost: row.text("kind")? == INTERNAL_SERVICE_ACCOUNT,
            ..Self::default()
        };
        if grants.superuser {
            return Ok(grants);
        }
        let sql = format!(
            "{UP} SELECT DISTINCT permission, object_id FROM identity_role_permission WHERE role_id IN (\
             SELECT role_id FROM identity_user_role WHERE user_id = $1 \
             UNION SELECT l.role_id FROM identity_group_role l JOIN up ON up.id = l.group_id)"
        );
        for row in reader.read(&sql, &[user_id.into()]).await? {
            grants.add(row.text("permission")?, row.text("object_id")?);
        }
        Ok(grants)
    }

    /// Passes every check.
    pub fn all(&self) -> bool {
        self.active && self.superuser
    }

    pub(crate) fn add(&mut self, permission: String, object_id: String) {
        if object_id.is_empty() {
            self.global.insert(permission);
        } else {
            self.objects.entry(permission).or_default().insert(object_id);
        }
    }

    /// Whether the user has a permission on all objects or, with a key, on this one.
    pub fn may(&self, permission: &str, pk: Option<&str>) -> bool {
        self.active
            && (self.superuser
                || self.global.contains(permission)
                || pk.is_some_and(|pk| self.objects.get(permission).is_some_and(|keys| keys.contains(pk))))
    }

    /// Which objects of a kind the user may see; none when there is no right at all (403).
    pub fn visible(&self, kind: &ResourceType, user_id: i64) -> Option<Visible> {
        if !self.active {
            return None;
        }
        if kind.reach == Reach::Own {
            return Some(Visible::Some { owner: user_id, keys: Vec::new() });
        }
        let permission = kind.permission("view");
        if self.superuser || self.global.contains(&permission) {
            return Some(Visible::All);
        }
        let keys: Vec<String> = self.objects.get(&permission).into_iter().flatten().cloned().collect();
        let may_own = kind.owner.is_some() && kind.reach == Reach::Granted;
        let something = may_own || !keys.is_empty() || self.is_outpost;
        // Nobody has this key, so nothing is seen for being owned.
        let owner = if kind.reach == Reach::Permitted { NOBODY } else { user_id };
        something.then_some(Visible::Some { owner, keys })
    }

    /// As [`Grants::visible`], in operations that stand for all kinds of a family: permissions on the family count, too.
    pub fn visible_in(&self, family: Family, kind: &ResourceType, user_id: i64) -> Option<Visible> {
        let of_kind = self.visible(kind, user_id);
        if !self.active || of_kind == Some(Visible::All) {
            return of_kind;
        }
        let permission = family.permission("view");
        if self.global.contains(&permission) {
            return Some(Visible::All);
        }
        let Some(named) = self.objects.get(&permission).filter(|keys| !keys.is_empty()) else { return of_kind };
        let (owner, mut keys) = match of_kind {
            Some(Visible::Some { owner, keys }) => (owner, keys),
            _ => (NOBODY, Vec::new()),
        };
        keys.extend(named.iter().cloned());
        Some(Visible::Some { owner, keys })
    }
}
