//! The names of all permissions of this build.

use super::Grants;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use weir_core::{Family, Registry};

/// Model of the permissions that belong to no kind of object.
pub const SYSTEM_MODEL: &str = "authentik_rbac.systempermission";

const SYSTEM: [(&str, &str); 7] = [
    ("view_system_info", "Can view system information"),
    ("access_admin_interface", "Can access admin interface"),
    ("view_system_settings", "Can view system settings"),
    ("edit_system_settings", "Can edit system settings"),
    ("view_user_directory", "Can view the user directory"),
    ("view_system_tasks", "Can view system tasks"),
    ("run_system_tasks", "Can run system tasks"),
];

/// What can be done with objects of a family, whatever their kind.
const ACTIONS: [&str; 4] = ["add", "change", "delete", "view"];

/// Permissions of models that are no kinds of their own: app, model, its name for people, codename, name.
const OF_BASES: [(&str, &str, &str, &str, &str); 3] = [
    ("authentik_policies", "policy", "Policy", "view_policy_cache", "Can view the policy cache"),
    ("authentik_policies", "policy", "Policy", "clear_policy_cache", "Can clear the policy cache"),
    ("authentik_tasks", "task", "Task", "retry_task", "Can retry tasks"),
];

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionInfo {
    /// Number on the wire; follows from the name.
    pub id: i64,
    /// `app_label.codename`.
    pub full: String,
    /// Sentence for people.
    pub name: String,
    /// Code.
    pub codename: String,
    /// Application label.
    pub app_label: String,
    /// Model name without the application.
    pub model: String,
    /// Model name for people.
    pub model_verbose: String,
}

impl PermissionInfo {
    fn new(app: &str, model: &str, verbose: &str, codename: &str, name: String) -> Self {
        let full = format!("{app}.{codename}");
        Self {
            id: number(&full),
            full,
            name,
            codename: codename.to_owned(),
            app_label: app.to_owned(),
            model: model.to_owned(),
            model_verbose: verbose.to_owned(),
        }
    }

    /// `app_label.model`.
    pub fn full_model(&self) -> String {
        format!("{}.{}", self.app_label, self.model)
    }

    /// The contract's `Permission`.
    pub fn to_value(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "codename": self.codename,
            "model": self.model,
            "app_label": self.app_label,
            "app_label_verbose": self.app_label_verbose(),
            "model_verbose": self.model_verbose,
        })
    }

    /// Name of the application for people: `authentik_stages_password` → `authentik Stages Password`.
    pub fn app_label_verbose(&self) -> String {
        let mut words = self.app_label.split('_');
        let mut verbose = words.next().unwrap_or_default().to_owned();
        for word in words {
            let mut letters = word.chars();
            verbose.push(' ');
            verbose.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            verbose.push_str(letters.as_str());
        }
        verbose
    }
}

/// The number of a permission on the wire. It follows from the name alone, so that it stays the same from build to
/// build and from node to node.
pub fn number(full: &str) -> i64 {
    let hash = Sha256::digest(full.as_bytes());
    let first = hash.iter().take(4).fold(0i64, |n, byte| (n << 8) | i64::from(*byte));
    first & 0x7fff_ffff
}

/// All permissions: those of every kind, of shared bases, and of the system.
pub fn all(registry: &Registry) -> Vec<PermissionInfo> {
    let mut found: Vec<PermissionInfo> = Vec::new();
    for kind in registry.all() {
        let verbose = kind.verbose_name;
        for full in kind.all_permissions() {
            let codename = full.split_once('.').map_or(full.as_str(), |(_, c)| c);
            let name = format!("Can {}", sentence(codename, kind.model_name(), verbose));
            found.push(PermissionInfo::new(kind.app_label(), kind.model_name(), verbose, codename, name));
        }
    }
    for family in Family::ALL {
        let (app, model) = family.model().split_once('.').unwrap_or_default();
        for action in ACTIONS {
            let (codename, verbose) = (format!("{action}_{model}"), family.verbose_name());
            let name = format!("Can {}", sentence(&codename, model, verbose));
            found.push(PermissionInfo::new(app, model, verbose, &codename, name));
        }
    }
    for (app, model, verbose, codename, name) in OF_BASES {
        found.push(PermissionInfo::new(app, model, verbose, codename, name.to_owned()));
    }
    if let Some((app, model)) = SYSTEM_MODEL.split_once('.') {
        for (codename, name) in SYSTEM {
            found.push(PermissionInfo::new(app, model, "System permission", codename, name.to_owned()));
        }
    }
    found.sort_by(|a, b| (&a.app_label, &a.model, &a.codename).cmp(&(&b.app_label, &b.model, &b.codename)));
    found.dedup_by(|a, b| a.full == b.full);
    found
}

fn sentence(codename: &str, model: &str, verbose: &str) -> String {
    match codename.strip_suffix(model).and_then(|rest| rest.strip_suffix('_')) {
        Some(action) if !action.contains('_') => format!("{action} {verbose}"),
        _ => codename.replace('_', " "),
    }
}

/// A permission by its number.
pub fn find_id(registry: &Registry, id: i64) -> Option<PermissionInfo> {
    all(registry).into_iter().find(|p| p.id == id)
}

/// Codes of the system permissions that somebody has.
pub fn system_codenames(grants: &Grants) -> Vec<&'static str> {
    let app = SYSTEM_MODEL.split_once('.').map_or(SYSTEM_MODEL, |(app, _)| app);
    SYSTEM.iter().map(|(code, _)| *code).filter(|code| grants.may(&format!("{app}.{code}"), None)).collect()
}
