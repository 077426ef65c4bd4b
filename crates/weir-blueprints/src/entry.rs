//! Entries with everything evaluated, one at a time: an entry may look up what those applied before it made.

use serde_json::{Map, Value};

use crate::error::BlueprintError;
use crate::format::{Document, Entry};
use crate::tags::{Evaluator, Missing, Resolver, Source};
use crate::yaml::Node;

type Result<T> = std::result::Result<T, BlueprintError>;

/// The model in whose entries `!KeyOf` gives the key an object is bound under.
pub const POLICY_BINDING: &str = "authentik_policies.policybinding";
/// Context key: whether enterprise features are licensed. Weir has no licence, everything is included.
pub const CONTEXT_LICENSED: &str = "goauthentik.io/enterprise/licensed";
/// Context key: mapping of model name (without app label) to app label, for every model that is served.
pub const CONTEXT_MODELS: &str = "goauthentik.io/rbac/models";

/// What shall become of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Create or update.
    Present,
    /// Create; leave an existing one alone.
    Created,
    /// Create; an existing one is an error.
    MustCreated,
    /// Delete.
    Absent,
}

impl State {
    /// Reads the name used in blueprints.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "present" => Self::Present,
            "created" => Self::Created,
            "must_created" => Self::MustCreated,
            "absent" => Self::Absent,
            _ => return None,
        })
    }
}

/// An entry ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedEntry {
    /// Line of the text.
    pub line: usize,
    /// `app_label.model`, lower case.
    pub model: String,
    /// Name for `!KeyOf`.
    pub id: Option<String>,
    /// What shall become of the object.
    pub state: State,
    /// How it is looked up.
    pub identifiers: Map<String, Value>,
    /// What it shall have.
    pub attrs: Map<String, Value>,
    /// Who may do what with it.
    pub permissions: Vec<ResolvedPermission>,
}

/// A permission on the object of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedPermission {
    /// Name of the permission.
    pub permission: String,
    /// Primary key of a user.
    pub user: Option<Value>,
    /// Primary key of a role.
    pub role: Option<Value>,
}

/// The context of a run: what is always there, under the instance's, under the import's.
pub fn layered_context(
    models: impl IntoIterator<Item = (String, String)>,
    instance: Map<String, Value>,
    import: Map<String, Value>,
) -> Map<String, Value> {
    let models = models.into_iter().map(|(model, app)| (model, Value::String(app))).collect();
    let mut context = Map::new();
    context.insert(CONTEXT_LICENSED.to_owned(), Value::Bool(true));
    context.insert(CONTEXT_MODELS.to_owned(), Value::Object(models));
    context.extend(instance);
    context.extend(import);
    context
}

/// Evaluates the entries of one blueprint.
pub struct Evaluation<'a> {
    evaluator: Evaluator<'a>,
}

impl<'a> Evaluation<'a> {
    /// `context` as made by `layered_context`; it wins over the blueprint's own.
    pub fn new(document: &'a Document, context: &'a Map<String, Value>, source: Source) -> Self {
        Self { evaluator: Evaluator::new(&document.context, context, source) }
    }

    /// The entry with its values, or `None` if its conditions do not hold. Conditions come first: what a skipped
    /// entry refers to need not exist.
    pub async fn resolve<R: Resolver>(&mut self, entry: &'a Entry, resolver: &mut R) -> Result<Option<ResolvedEntry>> {
        self.evaluator.set_for_policy_binding(false);
        for condition in &entry.conditions {
            if !self.evaluator.is_true(condition, resolver).await? {
                return Ok(None);
            }
        }
        let model = self.evaluator.text(&entry.model, "The model", resolver).await?.to_ascii_lowercase();
        self.evaluator.set_for_policy_binding(model == POLICY_BINDING);
        let state = match &entry.state {
            Some(node) => {
                let name = self.evaluator.text(node, "The state", resolver).await?;
                State::read(&name).ok_or_else(|| {
                    let known = "present, created, must_created or absent";
                    BlueprintError::at(node.line, format!("The state must be {known}, not {name:?}"))
                })?
            }
            None => State::Present,
        };
        let identifiers = self.fields(&entry.identifiers, resolver).await?;
        let attrs = self.fields(&entry.attrs, resolver).await?;
        let mut permissions = Vec::with_capacity(entry.permissions.len());
        for given in &entry.permissions {
            permissions.push(ResolvedPermission {
                permission: self.evaluator.text(&given.permission, "A permission", resolver).await?,
                user: self.optional(given.user.as_ref(), resolver).await?,
                role: self.optional(given.role.as_ref(), resolver).await?,
            });
        }
        let resolved =
            ResolvedEntry { line: entry.line, model, id: entry.id.clone(), state, identifiers, attrs, permissions };
        Ok(Some(resolved))
    }

    /// The references of the entry resolved last that lead nowhere, also where `resolve` failed.
    pub fn take_missing(&mut self) -> Vec<Missing> {
        self.evaluator.take_missing()
    }

    async fn fields<R: Resolver>(&mut self, pairs: &'a [(Node, Node)], resolver: &mut R) -> Result<Map<String, Value>> {
        let mut map = Map::new();
        for (key, value) in pairs {
            let name = self.evaluator.text(key, "A field name", resolver).await?;
            let value = self.evaluator.field(&name, value, resolver).await?;
            map.insert(name, value);
        }
        Ok(map)
    }

    async fn optional<R: Resolver>(&mut self, node: Option<&'a Node>, resolver: &mut R) -> Result<Option<Value>> {
        match node {
            Some(node) => {
                let value = self.evaluator.field("permissions", node, resolver).await?;
                Ok(Some(value).filter(|value| !value.is_null()))
            }
            None => Ok(None),
        }
    }
}
