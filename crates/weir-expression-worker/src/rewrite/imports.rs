//! Imports of modules that the interpreter does not have.

use ruff_python_ast::{Alias, StmtImport, StmtImportFrom};
use ruff_text_size::Ranged;

use super::visit::Rewriter;

/// Modules written in Python here: the dotted name and the name of the class that stands for the module.
pub(crate) const PYTHON_MODULES: &[(&str, &str)] = &[
    ("hmac", "_weir_m_hmac"),
    ("html", "_weir_m_html"),
    ("ipaddress", "_weir_m_ipaddress"),
    ("logging", "_weir_m_logging"),
    ("operator", "_weir_m_operator"),
    ("requests.exceptions", "_weir_m_requests_exceptions"),
    ("secrets", "_weir_m_secrets"),
    ("string", "_weir_m_string"),
    ("textwrap", "_weir_m_textwrap"),
    ("urllib", "_weir_m_urllib"),
    ("urllib.parse", "_weir_m_urllib_parse"),
    ("uuid", "_weir_m_uuid"),
];

/// Names from packages of [`HOST_PACKAGES`] that are written in Python here: module, name, helper.
const PYTHON_NAMES: &[(&str, &str, &str)] = &[
    ("django.core.exceptions", "MultipleObjectsReturned", "_weir_e_MultipleObjectsReturned"),
    ("django.core.exceptions", "ObjectDoesNotExist", "_weir_e_DoesNotExist"),
    ("django.core.exceptions", "PermissionDenied", "PermissionError"),
    ("django.db.models", "Q", "_weir_class_q"),
    ("django.utils", "timezone", "_weir_m_timezone"),
    ("django.utils.text", "slugify", "slugify"),
    ("django.utils.timezone", "now", "_weir_now"),
    ("requests", "ConnectionError", "_weir_e_RequestException"),
    ("requests", "HTTPError", "_weir_e_RequestException"),
    ("requests", "RequestException", "_weir_e_RequestException"),
    ("requests", "Timeout", "_weir_e_Timeout"),
];

/// Packages of which the worker or the host answers imports.
const HOST_PACKAGES: &[&str] = &["authentik", "django", "requests", "structlog"];

/// Names that exist in one of the interpreter's modules in Python but not there: module, name, what to use instead.
const SUBSTITUTES: &[(&str, &str, &str)] = &[("collections", "OrderedDict", "dict")];

fn python_module(name: &str) -> Option<&'static (&'static str, &'static str)> {
    PYTHON_MODULES.iter().find(|(module, _)| *module == name)
}

fn is_host_module(name: &str) -> bool {
    HOST_PACKAGES.contains(&name.split('.').next().unwrap_or_default())
}

fn substitute(module: &str, name: &str) -> Option<&'static str> {
    SUBSTITUTES.iter().find(|(of, missing, _)| *of == module && *missing == name).map(|(_, _, other)| *other)
}

/// The helper that stands for a name imported from a package of [`HOST_PACKAGES`].
fn python_name(module: &str, name: &str) -> Option<&'static str> {
    if module.starts_with("authentik.") && name.starts_with("SkipObject") {
        return Some("SkipObject");
    }
    PYTHON_NAMES.iter().find(|(of, known, _)| *of == module && *known == name).map(|(_, _, helper)| *helper)
}

impl Rewriter<'_> {
    /// `import a, b.c as d`.
    pub(super) fn rewrite_import(&mut self, statement: &StmtImport) {
        let is_ours = |alias: &Alias| python_module(&alias.name).is_some() || is_host_module(&alias.name);
        if !statement.names.iter().any(is_ours) {
            return;
        }
        let parts: Vec<String> = statement.names.iter().map(|alias| self.import_module(alias)).collect();
        self.edits.replace(statement.range(), parts.join("; "));
    }

    fn import_module(&mut self, alias: &Alias) -> String {
        let name = alias.name.as_str();
        // Without `as` the top-level package is bound.
        let target = alias.asname.as_ref().map_or_else(|| name.split('.').next().unwrap_or(name), |new| new.as_str());
        let module = if alias.asname.is_some() { name } else { target };
        if let Some(class) = self.use_module(module) {
            format!("{target} = {class}")
        } else if is_host_module(name) {
            format!("{target} = _weir_import({module:?}, None)")
        } else {
            match &alias.asname {
                Some(new) => format!("import {name} as {new}"),
                None => format!("import {name}"),
            }
        }
    }

    /// `from a import b as c, d`.
    pub(super) fn rewrite_import_from(&mut self, statement: &StmtImportFrom) {
        let Some(module) = statement.module.as_ref().filter(|_| statement.level == 0) else { return };
        if statement.names.iter().any(|alias| alias.name.as_str() == "*") {
            return;
        }
        let module = module.as_str();
        let class = self.use_module(module);
        let is_ours = class.is_some()
            || is_host_module(module)
            || statement.names.iter().any(|alias| substitute(module, alias.name.as_str()).is_some());
        if !is_ours {
            return;
        }
        let mut parts = Vec::new();
        for alias in &statement.names {
            let name = alias.name.as_str();
            let target = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
            let nested = format!("{module}.{name}");
            parts.push(if let Some(inner) = self.use_module(&nested) {
                format!("{target} = {inner}")
            } else if let Some(class) = class {
                self.helpers.insert("_weir_from");
                format!("{target} = _weir_from({class}, {module:?}, {name:?})")
            } else if let Some(helper) = python_name(module, name) {
                self.helpers.insert(helper);
                // A local of the same name would hide the helper from the right-hand side.
                if target == helper { "pass".to_owned() } else { format!("{target} = {helper}") }
            } else if is_host_module(module) {
                format!("{target} = _weir_import({module:?}, {name:?})")
            } else {
                substitute(module, name).map_or_else(
                    || format!("from {module} import {name} as {target}"),
                    |other| format!("{target} = {other}"),
                )
            });
        }
        self.edits.replace(statement.range(), parts.join("; "));
    }

    /// Notes a module for the prelude and gives the class that stands for it.
    fn use_module(&mut self, name: &str) -> Option<&'static str> {
        let (module, class) = python_module(name)?;
        self.modules.insert(module);
        Some(class)
    }
}
