//! A blueprint as a typed document: version, metadata, context and entries. Tags are kept, nothing is evaluated.
//!
//! Keys this version does not know are ignored, so that newer blueprints can be read.

use indexmap::IndexMap;

use crate::error::BlueprintError;
use crate::limits::MAX_ENTRIES;
use crate::yaml::{self, Kind, Node};

#[cfg(test)]
mod tests;

type Result<T> = std::result::Result<T, BlueprintError>;

/// Label that keeps a discovered file from becoming an instance when it says `false`.
pub const LABEL_INSTANTIATE: &str = "blueprints.goauthentik.io/instantiate";
/// Label of the blueprints that are switched off when the first-run set-up is done.
pub const LABEL_SYSTEM_OOBE: &str = "blueprints.goauthentik.io/system-oobe";
/// Label of the blueprints that belong to the product.
pub const LABEL_SYSTEM: &str = "blueprints.goauthentik.io/system";
/// Label with one sentence for people.
pub const LABEL_DESCRIPTION: &str = "blueprints.goauthentik.io/description";

/// A whole blueprint.
#[derive(Clone, Debug)]
pub struct Document {
    /// Name and labels, if given.
    pub metadata: Option<Metadata>,
    /// Values for `!Context`, used where neither the instance nor the import has one.
    pub context: Vec<(String, Node)>,
    /// As written; what an entry refers to is applied before it.
    pub entries: Vec<Entry>,
}

/// What a blueprint says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the instance made from it.
    pub name: String,
    /// Free labels; some steer discovery.
    pub labels: IndexMap<String, String>,
}

impl Metadata {
    /// Whether an instance is to be made when the file is found.
    pub fn is_instantiated(&self) -> bool {
        self.labels.get(LABEL_INSTANTIATE).is_none_or(|value| !value.eq_ignore_ascii_case("false"))
    }
}

/// One entry: an object and the state it shall be in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Line it starts at.
    pub line: usize,
    /// The section it stands in, when entries are grouped.
    pub section: Option<String>,
    /// `app_label.model`.
    pub model: Node,
    /// Name for `!KeyOf`.
    pub id: Option<String>,
    /// `present` if not given.
    pub state: Option<Node>,
    /// All must be true.
    pub conditions: Vec<Node>,
    /// Look-up, and attributes of a new object.
    pub identifiers: Vec<(Node, Node)>,
    /// Attributes.
    pub attrs: Vec<(Node, Node)>,
    /// Permissions on the object.
    pub permissions: Vec<EntryPermission>,
}

/// A permission on the object of an entry, for a user or a role.
#[derive(Clone, Debug)]
pub struct EntryPermission {
    /// Name of the permission.
    pub permission: Node,
    /// Primary key of a user.
    pub user: Option<Node>,
    /// Primary key of a role.
    pub role: Option<Node>,
}

impl Document {
    /// Reads a blueprint.
    pub fn parse(text: &str) -> Result<Self> {
        let root = yaml::parse(text)?;
        let Kind::Mapping(pairs) = root.kind else {
            return Err(BlueprintError::at(root.line, format!("A blueprint is a mapping, not {}", root.kind_name())));
        };
        let mut fields = Fields::new(pairs);
        if let Some(version) = fields.take("version") {
            let is_one = matches!(&version.kind, Kind::Scalar(scalar) if scalar.value() == 1);
            if !is_one {
                return Err(BlueprintError::at(version.line, "Only blueprints of version 1 can be read"));
            }
        }
        let metadata = fields.take("metadata").map(Metadata::read).transpose()?;
        let context = match fields.take("context") {
            Some(node) => mapping("context", node)?
                .into_iter()
                .map(|(key, value)| Ok((key_text(&key)?, value)))
                .collect::<Result<_>>()?,
            None => Vec::new(),
        };
        let entries = match fields.take("entries") {
            Some(node) => read_entries(node)?,
            None => Vec::new(),
        };
        Ok(Self { metadata, context, entries })
    }

    /// Reads only name and labels. `None` if there are none.
    pub fn parse_metadata(text: &str) -> Result<Option<Metadata>> {
        Ok(Self::parse(text)?.metadata)
    }
}

impl Metadata {
    fn read(node: Node) -> Result<Self> {
        let line = node.line;
        let mut fields = Fields::new(mapping("metadata", node)?);
        let name = match fields.take("name") {
            Some(node) => written(&node, "The name of a blueprint")?,
            None => return Err(BlueprintError::at(line, "The metadata need a name")),
        };
        let mut labels = IndexMap::new();
        if let Some(node) = fields.take("labels") {
            for (key, value) in mapping("labels", node)? {
                labels.insert(key_text(&key)?, written(&value, "A label")?);
            }
        }
        Ok(Self { name, labels })
    }
}

fn read_entries(node: Node) -> Result<Vec<Entry>> {
    let line = node.line;
    let mut entries = Vec::new();
    match node.kind {
        Kind::Sequence(items) => entries.extend(items.into_iter().map(|item| (None, item))),
        Kind::Mapping(sections) => {
            for (key, value) in sections {
                let section = key_text(&key)?;
                entries
                    .extend(list("A section of entries", value)?.into_iter().map(|item| (Some(section.clone()), item)));
            }
        }
        _ => return Err(BlueprintError::at(line, "The entries must be a list, or a mapping of lists")),
    }
    if entries.len() > MAX_ENTRIES {
        return Err(BlueprintError::at(line, format!("More than {MAX_ENTRIES} entries")));
    }
    entries.into_iter().map(|(section, item)| Entry::read(section, item)).collect()
}

impl Entry {
    fn read(section: Option<String>, node: Node) -> Result<Self> {
        let line = node.line;
        let mut fields = Fields::new(mapping("An entry", node)?);
        let model = fields.take("model").ok_or_else(|| BlueprintError::at(line, "An entry needs a model"))?;
        let id = fields.take("id").map(|node| written(&node, "The id of an entry")).transpose()?;
        let conditions = fields.take("conditions").map(|node| list("The conditions", node)).transpose()?;
        let identifiers = fields.take("identifiers").map(|node| mapping("The identifiers", node)).transpose()?;
        let attrs = fields.take("attrs").map(|node| mapping("The attrs", node)).transpose()?;
        let permissions = match fields.take("permissions") {
            Some(node) => {
                list("The permissions", node)?.into_iter().map(EntryPermission::read).collect::<Result<_>>()?
            }
            None => Vec::new(),
        };
        Ok(Self {
            line,
            section,
            model,
            id,
            state: fields.take("state"),
            conditions: conditions.unwrap_or_default(),
            identifiers: identifiers.unwrap_or_default(),
            attrs: attrs.unwrap_or_default(),
            permissions,
        })
    }
}

impl EntryPermission {
    fn read(node: Node) -> Result<Self> {
        let line = node.line;
        let mut fields = Fields::new(mapping("A permission", node)?);
        let permission =
            fields.take("permission").ok_or_else(|| BlueprintError::at(line, "A permission needs its name"))?;
        Ok(Self { permission, user: fields.take("user"), role: fields.take("role") })
    }
}

/// The pairs of a mapping by name. A field that is null counts as not given.
struct Fields(Vec<(Node, Node)>);

impl Fields {
    fn new(pairs: Vec<(Node, Node)>) -> Self {
        Self(pairs)
    }

    fn take(&mut self, name: &str) -> Option<Node> {
        let position = self.0.iter().position(|(key, _)| key.as_text() == Some(name))?;
        let (_, value) = self.0.swap_remove(position);
        (!value.is_null()).then_some(value)
    }
}

fn mapping(what: &str, node: Node) -> Result<Vec<(Node, Node)>> {
    match node.kind {
        Kind::Mapping(pairs) => Ok(pairs),
        _ => Err(BlueprintError::at(node.line, format!("{what} must be a mapping, not {}", node.kind_name()))),
    }
}

fn list(what: &str, node: Node) -> Result<Vec<Node>> {
    match node.kind {
        Kind::Sequence(items) => Ok(items),
        _ => Err(BlueprintError::at(node.line, format!("{what} must be a list, not {}", node.kind_name()))),
    }
}

fn written(node: &Node, what: &str) -> Result<String> {
    let text = node.as_text().map(str::to_owned);
    text.ok_or_else(|| BlueprintError::at(node.line, format!("{what} must be text, not {}", node.kind_name())))
}

fn key_text(key: &Node) -> Result<String> {
    written(key, "A key")
}
