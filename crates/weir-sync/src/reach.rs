//! Changes that decide whom a target is told of, or what: bindings and policies of its application, groups above others,
//! mappings. Whom they reach is not looked for; a full sync runs soon after, once for many of them.

use crate::{
    provider::{self, Assigned, Kinds},
    tasks,
};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeSet;
use uuid::Uuid;
use weir_applications::Application;
use weir_core::{ApiError, Resource};
use weir_policy::PolicyBinding;
use weir_resource::{Hooks, Snapshot, Stored, Unit, store};

/// Sees to it that full syncs of these targets run soon.
async fn run_soon(unit: &mut Unit<'_>, targets: Vec<Assigned>) -> Result<(), ApiError> {
    for target in targets {
        tasks::full_soon(unit, &target).await.map_err(store)?;
    }
    Ok(())
}

/// Targets of applications.
fn of_applications(snapshot: &Snapshot, kinds: &Kinds, applications: &BTreeSet<Uuid>) -> Vec<Assigned> {
    if applications.is_empty() {
        return Vec::new();
    }
    provider::all(snapshot, kinds).into_iter().filter(|target| applications.contains(&target.application)).collect()
}

fn key(stored: &Stored, field: &str) -> Option<Uuid> {
    Uuid::parse_str(stored.text(field)).ok()
}

/// Bindings came, went or changed.
pub struct BindingReach(pub Kinds);

impl BindingReach {
    async fn of(&self, unit: &mut Unit<'_>, bindings: &[&Stored]) -> Result<(), ApiError> {
        let guarded = bindings.iter().filter_map(|binding| unit.snapshot.policy_target(key(binding, "target")?));
        let applications = guarded.filter(|object| object.kind.model == Application::MODEL).map(|object| object.id);
        let applications = applications.collect();
        let targets = of_applications(&unit.snapshot, &self.0, &applications);
        run_soon(unit, targets).await
    }
}

#[async_trait]
impl Hooks for BindingReach {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        match old {
            Some(old) if old.doc == new.doc => Ok(()),
            Some(old) => self.of(unit, &[old, new]).await,
            None => self.of(unit, &[new]).await,
        }
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        self.of(unit, &[old]).await
    }
}

/// A policy changed. Its end takes its bindings along.
pub struct PolicyReach(pub Kinds);

#[async_trait]
impl Hooks for PolicyReach {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if old.is_none_or(|old| old.doc == new.doc) {
            return Ok(());
        }
        let Ok(policy) = Uuid::parse_str(&new.pk) else { return Ok(()) };
        let bindings = unit.snapshot.referring_by::<PolicyBinding>(policy, "policy");
        let guarded = bindings.iter().filter_map(|(_, binding)| unit.snapshot.policy_target(*binding.target.pk()));
        let applications = guarded.filter(|object| object.kind.model == Application::MODEL).map(|object| object.id);
        let applications = applications.collect();
        let targets = of_applications(&unit.snapshot, &self.0, &applications);
        run_soon(unit, targets).await
    }
}

/// A group moved below others, or policies may judge it anew: its members and those of the groups below it may have gained
/// or lost an application.
pub struct GroupReach(pub Kinds);

impl GroupReach {
    /// Targets that ask for groups at all.
    fn targets(&self, snapshot: &Snapshot) -> Vec<Assigned> {
        let asks = |target: &Assigned| {
            let is_bound = !snapshot.referring_by::<PolicyBinding>(target.application, "target").is_empty();
            let terms = target.kind.terms(&Stored::of(&target.object));
            is_bound || terms.is_ok_and(|terms| terms.filter_group.is_some())
        };
        provider::all(snapshot, &self.0).into_iter().filter(asks).collect()
    }
}

#[async_trait]
impl Hooks for GroupReach {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        const REACHING: [&str; 4] = ["parents", "name", "attributes", "is_superuser"];
        // Nobody is in a new group but those who are told of anyway.
        let is_same = |old: &Stored| REACHING.iter().all(|field| old.doc.get(*field) == new.doc.get(*field));
        if old.is_none_or(is_same) {
            return Ok(());
        }
        let targets = self.targets(&unit.snapshot);
        run_soon(unit, targets).await
    }

    async fn deleting(&self, unit: &mut Unit<'_>, old: &Stored) -> Result<(), ApiError> {
        let sql = "SELECT group_id FROM identity_group_parent WHERE parent_id = $1 LIMIT 1";
        if unit.tx.read_one(sql, &[old.pk.as_str().into()]).await.map_err(store)?.is_none() {
            return Ok(());
        }
        let targets = self.targets(&unit.snapshot);
        run_soon(unit, targets).await
    }
}

/// An application guards itself in another way, or names other providers.
pub struct ApplicationReach(pub Kinds);

#[async_trait]
impl Hooks for ApplicationReach {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        let named = |stored: &Stored| -> BTreeSet<i64> {
            let list = stored.doc.get("backchannel_providers").and_then(Value::as_array);
            list.map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_i64).collect()
        };
        let (before, after) = (old.map(named).unwrap_or_default(), named(new));
        let mode = |stored: &Stored| stored.text("policy_engine_mode").to_owned();
        let is_judged_anew = old.is_some_and(|old| mode(old) != mode(new));
        // Another application may go on naming a provider that this one lets go.
        let moved: BTreeSet<i64> = before.symmetric_difference(&after).copied().collect();
        for target in provider::all(&unit.snapshot, &self.0) {
            if moved.contains(&target.number) {
                tasks::full_now(unit, &target).await.map_err(store)?;
            } else if is_judged_anew && after.contains(&target.number) {
                tasks::full_soon(unit, &target).await.map_err(store)?;
            }
        }
        Ok(())
    }
}

/// A mapping changed: what was sent is not what would be sent now.
pub struct MappingReach(pub Kinds);

#[async_trait]
impl Hooks for MappingReach {
    async fn written(&self, unit: &mut Unit<'_>, old: Option<&Stored>, new: &Stored) -> Result<(), ApiError> {
        if old.is_none_or(|old| old.text("expression") == new.text("expression")) {
            return Ok(());
        }
        let using: BTreeSet<Uuid> = unit.snapshot.referring(&new.pk).map(|(object, _)| object.id).collect();
        let targets = provider::all(&unit.snapshot, &self.0);
        run_soon(unit, targets.into_iter().filter(|target| using.contains(&target.object.id)).collect()).await
    }
}
