//! One definition of a resource, and the table every consumer reads.

use crate::{
    Map,
    error::FieldErrors,
    field::{self, Field, Kind},
    types::RefTarget,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{any::Any, collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// Kinds that share a base: `…/all/`, `…/types/`, common read-only fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Flow stages.
    Stage,
    /// Policies.
    Policy,
    /// Sources that people sign in with.
    Source,
    /// Expressions that turn what another system says into ours, or the other way round.
    PropertyMapping,
    /// Systems that know the devices people work on.
    Connector,
    /// What gives an application its users: a protocol it speaks, or a copy that is kept for it.
    Provider,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 6] =
        [Self::Stage, Self::Policy, Self::Source, Self::PropertyMapping, Self::Connector, Self::Provider];

    /// The base model by which references name the whole family.
    pub const fn model(self) -> &'static str {
        match self {
            Self::Stage => "authentik_flows.stage",
            Self::Policy => "authentik_policies.policy",
            Self::Source => "authentik_core.source",
            Self::PropertyMapping => "authentik_core.propertymapping",
            Self::Connector => "authentik_endpoints.connector",
            Self::Provider => "authentik_core.provider",
        }
    }

    /// What people call an object of it.
    pub const fn verbose_name(self) -> &'static str {
        match self {
            Self::Stage => "Stage",
            Self::Policy => "Policy",
            Self::Source => "Source",
            Self::PropertyMapping => "Property Mapping",
            Self::Connector => "Connector",
            Self::Provider => "Provider",
        }
    }

    /// The permission for an action on its objects of any kind, in the operations that stand for all kinds.
    pub fn permission(self, action: &str) -> String {
        let (app, model) = self.model().split_once('.').unwrap_or_default();
        format!("{app}.{action}_{model}")
    }

    /// Path of the list of all its kinds.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Stage => "stages/all",
            Self::Policy => "policies/all",
            Self::Source => "sources/all",
            Self::PropertyMapping => "propertymappings/all",
            Self::Connector => "endpoints/connectors",
            Self::Provider => "providers/all",
        }
    }

    /// The field that is unique over all its kinds.
    pub const fn unique(self) -> &'static str {
        match self {
            Self::Source => "slug",
            Self::Stage | Self::Policy | Self::PropertyMapping | Self::Connector | Self::Provider => "name",
        }
    }
}

impl Family {
    /// Whether objects are known by numbers outside: documents whose key is [`numbered_key`] of the number.
    pub const fn is_numbered(self) -> bool {
        matches!(self, Self::Provider)
    }
}

/// Where keys made of numbers begin. Far from any key that is drawn at random: version 8.
const NUMBERED: u128 = 0x7765_6972_6e75_8d62_8000_0000_0000_0000;
/// Bits of a key that hold the number.
const NUMBER_BITS: u32 = 48;

/// The key under which a document with a number is kept; none for numbers that cannot be.
pub fn numbered_key(number: i64) -> Option<Uuid> {
    let number = u128::try_from(number).ok().filter(|n| *n > 0 && *n < 1 << NUMBER_BITS)?;
    Some(Uuid::from_u128(NUMBERED | number))
}

/// The number of a document; none for other keys.
pub fn number_of(key: Uuid) -> Option<i64> {
    let key = key.as_u128();
    (key >> NUMBER_BITS == NUMBERED >> NUMBER_BITS).then(|| i64::try_from(key & ((1 << NUMBER_BITS) - 1)).ok())?
}

/// Which of the seven operations exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations {
    /// POST on the collection.
    pub create: bool,
    /// PUT and PATCH.
    pub update: bool,
    /// DELETE.
    pub destroy: bool,
    /// `used_by/`.
    pub used_by: bool,
}

impl Operations {
    /// All seven.
    pub const ALL: Self = Self { create: true, update: true, destroy: true, used_by: true };
    /// List and retrieve.
    pub const READ: Self = Self { create: false, update: false, destroy: false, used_by: false };
}

/// Whose objects a collection shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The caller's own, and those the caller has a permission on.
    Granted,
    /// The caller's own only, whatever permissions there are.
    Own,
    /// Those the caller has a permission on; owning one is no reason.
    Permitted,
}

/// Objects of a kind at a second address: for other callers, with other operations.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Collection path, as [`Resource::PATH`].
    pub path: &'static str,
    /// Whose objects are there.
    pub reach: Reach,
    /// What can be done with them.
    pub operations: Operations,
    /// Condition on the table that objects must fulfil to be there; empty for none.
    pub only: &'static str,
}

/// A many-to-many field kept in a link table.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The field that lists the other side's keys.
    pub field: &'static str,
    /// Link table.
    pub table: &'static str,
    /// Its column with this object's key.
    pub own: &'static str,
    /// Its column with the other object's key.
    pub other: &'static str,
    /// The other side's key is a number.
    pub other_is_int: bool,
}

/// A relational table behind a resource.
#[derive(Clone, Copy, Debug)]
pub struct TableDef {
    /// Table name.
    pub table: &'static str,
    /// Column of the primary key.
    pub pk: &'static str,
    /// The key is a number given by the database.
    pub pk_is_int: bool,
    /// Fields without a column of their own.
    pub links: &'static [Link],
    /// Condition that is always added, e.g. to hide internal rows; empty for none.
    pub only: &'static str,
    /// Full-text index over the search fields (SQLite: an FTS5 table of trigrams with the key as row number); empty
    /// for none.
    pub search_index: &'static str,
}

/// Where objects of a resource live.
#[derive(Clone, Copy, Debug)]
pub enum Backing {
    /// The document table, served from the snapshot.
    Document,
    /// A table of its own.
    Table(&'static TableDef),
}

/// A kind of object. Serde and schemars derive the rest.
pub trait Resource: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// `app_label.model`.
    const MODEL: &'static str;
    /// Collection path below `/api/v3/`, without slashes around.
    const PATH: &'static str;
    /// OpenAPI component name.
    const SCHEMA: &'static str;
    /// Human name of the kind.
    const VERBOSE: &'static str;
    /// Name of the admin form; empty when the contract has none.
    const COMPONENT: &'static str = "";
    /// Shared base.
    const FAMILY: Option<Family> = None;
    /// Wire name of the primary key in answers.
    const PK: &'static str = "pk";
    /// Field that addresses an object in URLs (`pk` or a unique field).
    const LOOKUP: &'static str = "pk";
    /// Name of the path parameter in the contract.
    const PARAM: &'static str = "uuid";
    /// Fields that `search` looks into.
    const SEARCH: &'static [&'static str] = &["name"];
    /// Default order: comma list, `-` for descending.
    const ORDER: &'static str = "name";
    /// Sets of fields that must be unique.
    const UNIQUE: &'static [&'static [&'static str]] = &[&["name"]];
    /// Policies can be bound to objects of this kind.
    const POLICY_TARGET: bool = false;
    /// Field with the user who owns the object and may see and change it.
    const OWNER: Option<&'static str> = None;
    /// Permissions beyond add, change, delete, view.
    const PERMISSIONS: &'static [&'static str] = &[];
    /// Where objects live.
    const BACKING: Backing = Backing::Document;
    /// Which operations are served.
    const OPERATIONS: Operations = Operations::ALL;
    /// Whose objects the collection shows.
    const REACH: Reach = Reach::Granted;
    /// The same objects at further addresses.
    const VIEWS: &'static [View] = &[];
    /// Clients may choose the primary key of a new object.
    const KEY_IS_CHOSEN: bool = false;
    /// Changes are written to the audit trail.
    const AUDITED: bool = true;
    /// Answers at the kind's own address carry what all kinds of its family have, as those of the whole family do.
    const SHOWS_FAMILY: bool = true;
    /// Secrets inside of fields that hold mappings, as field and key. They are neither shown nor exported, and stay when a
    /// body does not bring new ones.
    const SECRET_PARTS: &'static [(&'static str, &'static str)] = &[];

    /// Rules across fields.
    fn check(&self) -> FieldErrors {
        FieldErrors::new()
    }
}

impl<T: Resource> RefTarget for T
where
    T: UuidKeyed,
{
    const MODEL: &'static str = <T as Resource>::MODEL;
    type Pk = Uuid;
}

/// Marks resources whose primary key is a UUID, which makes them targets of `Ref`.
pub trait UuidKeyed {}

type Decode = fn(Value) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error>;
type Check = fn(Value) -> Result<FieldErrors, serde_json::Error>;

/// The table made from a definition: everything the generic code needs to know.
#[derive(Clone)]
pub struct ResourceType {
    /// See [`Resource::MODEL`].
    pub model: &'static str,
    /// See [`Resource::PATH`].
    pub path: &'static str,
    /// See [`Resource::SCHEMA`].
    pub schema: &'static str,
    /// See [`Resource::VERBOSE`].
    pub verbose_name: &'static str,
    /// See [`Resource::COMPONENT`].
    pub component: &'static str,
    /// See [`Resource::FAMILY`].
    pub family: Option<Family>,
    /// See [`Resource::PK`].
    pub pk: &'static str,
    /// See [`Resource::LOOKUP`].
    pub lookup: &'static str,
    /// See [`Resource::PARAM`].
    pub param: &'static str,
    /// See [`Resource::SEARCH`].
    pub search: &'static [&'static str],
    /// See [`Resource::ORDER`].
    pub order: &'static str,
    /// See [`Resource::UNIQUE`].
    pub unique: &'static [&'static [&'static str]],
    /// See [`Resource::POLICY_TARGET`].
    pub policy_target: bool,
    /// See [`Resource::OWNER`].
    pub owner: Option<&'static str>,
    /// See [`Resource::PERMISSIONS`].
    pub permissions: &'static [&'static str],
    /// See [`Resource::BACKING`].
    pub backing: Backing,
    /// See [`Resource::OPERATIONS`].
    pub operations: Operations,
    /// See [`Resource::REACH`].
    pub reach: Reach,
    /// See [`Resource::VIEWS`].
    pub views: &'static [View],
    /// See [`Resource::KEY_IS_CHOSEN`].
    pub key_is_chosen: bool,
    /// See [`Resource::AUDITED`].
    pub audited: bool,
    /// See [`Resource::SHOWS_FAMILY`].
    pub shows_family: bool,
    /// See [`Resource::SECRET_PARTS`].
    pub secret_parts: &'static [(&'static str, &'static str)],
    /// One paragraph about the kind, from the definition's doc comment.
    pub help: String,
    /// The fields in order of the definition.
    pub fields: Vec<Field>,
    /// Reads a document into the typed struct.
    pub decode: Decode,
    /// Runs [`Resource::check`] on a document.
    pub check: Check,
}

impl ResourceType {
    /// The table of a definition.
    pub fn of<T: Resource>() -> Self {
        let schema = field::schema_of::<T>();
        let fields = field::table(&schema);
        Self {
            model: T::MODEL,
            path: T::PATH,
            schema: T::SCHEMA,
            verbose_name: T::VERBOSE,
            component: T::COMPONENT,
            family: T::FAMILY,
            pk: T::PK,
            lookup: T::LOOKUP,
            param: T::PARAM,
            search: T::SEARCH,
            order: T::ORDER,
            unique: T::UNIQUE,
            policy_target: T::POLICY_TARGET,
            owner: T::OWNER,
            permissions: T::PERMISSIONS,
            backing: T::BACKING,
            operations: T::OPERATIONS,
            reach: T::REACH,
            views: T::VIEWS,
            key_is_chosen: T::KEY_IS_CHOSEN,
            audited: T::AUDITED,
            shows_family: T::SHOWS_FAMILY,
            secret_parts: T::SECRET_PARTS,
            help: schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            fields,
            decode: |value| Ok(Arc::new(serde_json::from_value::<T>(value)?)),
            check: |value| Ok(serde_json::from_value::<T>(value)?.check()),
        }
    }

    /// The kind as it is seen at another address. It stays the same kind: model, permissions, hooks and events are shared.
    fn seen_through(&self, view: &View) -> Self {
        let backing = match self.backing {
            // Lives as long as the registry, which lives as long as the process.
            Backing::Table(def) => Backing::Table(Box::leak(Box::new(TableDef { only: view.only, ..*def }))),
            Backing::Document => Backing::Document,
        };
        Self { path: view.path, reach: view.reach, operations: view.operations, backing, views: &[], ..self.clone() }
    }

    /// Whether objects are documents known by numbers.
    pub fn is_numbered(&self) -> bool {
        self.family.is_some_and(Family::is_numbered)
    }

    /// Whether the key is a number in answers and addresses.
    pub fn key_is_number(&self) -> bool {
        self.is_numbered() || matches!(self.backing, Backing::Table(def) if def.pk_is_int)
    }

    /// The key of a document as it stands in answers and addresses.
    pub fn shown_key(&self, key: Uuid) -> String {
        match number_of(key).filter(|_| self.is_numbered()) {
            Some(number) => number.to_string(),
            None => key.to_string(),
        }
    }

    /// The key of a document from how it stands in answers and addresses; none when it can be none.
    pub fn document_key(&self, shown: &str) -> Option<Uuid> {
        if self.is_numbered() { numbered_key(shown.parse().ok()?) } else { Uuid::parse_str(shown).ok() }
    }

    /// The key by which documents refer to an object: that of [`crate::field::Reference::target`].
    pub fn index_key(&self, shown: &str) -> String {
        match self.document_key(shown).filter(|_| self.is_numbered()) {
            Some(key) => key.to_string(),
            None => shown.to_owned(),
        }
    }

    /// The part of the model before the dot.
    pub fn app_label(&self) -> &'static str {
        self.model.split_once('.').map_or(self.model, |(app, _)| app)
    }

    /// The part of the model after the dot.
    pub fn model_name(&self) -> &'static str {
        self.model.split_once('.').map_or(self.model, |(_, name)| name)
    }

    /// `app_label.codename`, e.g. `authentik_flows.view_flow` for `view`.
    pub fn permission(&self, action: &str) -> String {
        format!("{}.{action}_{}", self.app_label(), self.model_name())
    }

    /// All permissions of the model as `app_label.codename`.
    pub fn all_permissions(&self) -> Vec<String> {
        let mut all: Vec<String> = ["add", "change", "delete", "view"].iter().map(|a| self.permission(a)).collect();
        all.extend(self.permissions.iter().map(|p| format!("{}.{p}", self.app_label())));
        all
    }

    /// A field by name.
    pub fn find_field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Whether a reference to `model` may point to this kind (its own model or its family's).
    pub fn answers_to(&self, model: &str) -> bool {
        self.model == model
            || self.family.is_some_and(|f| f.model() == model)
            || (self.policy_target && model == POLICY_TARGET)
    }

    /// The plural of the human name.
    pub fn verbose_name_plural(&self) -> String {
        match self.verbose_name.strip_suffix('y') {
            Some(stem) if self.verbose_name.ends_with("olicy") => format!("{stem}ies"),
            _ => format!("{}s", self.verbose_name),
        }
    }

    /// Values of all fields that have a default, for POST and PUT.
    pub fn defaults(&self) -> Map {
        self.fields.iter().filter(|f| !f.required).map(|f| (f.name.clone(), f.default.clone())).collect()
    }

    /// Fields that may be used as filter and for ordering: scalars and references that are not secret.
    pub fn filterable(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|f| {
            !f.write_only
                && !matches!(f.kind, Kind::Object | Kind::Any)
                && (!matches!(f.kind, Kind::List(_)) || f.reference.is_some())
        })
    }
}

/// The model name by which references name anything that policies can be bound to.
pub const POLICY_TARGET: &str = "authentik_policies.policybindingmodel";

/// All resource types of this build, in the order of the explicit lists that made it.
pub struct Registry {
    types: Vec<&'static ResourceType>,
    views: Vec<&'static ResourceType>,
    by_model: BTreeMap<&'static str, &'static ResourceType>,
}

impl Registry {
    /// A registry of these types. They live as long as the process.
    pub fn new(types: Vec<ResourceType>) -> Self {
        let types: Vec<&'static ResourceType> = types.into_iter().map(|t| &*Box::leak(Box::new(t))).collect();
        let by_model = types.iter().map(|t| (t.model, *t)).collect();
        let seen = types.iter().flat_map(|kind| kind.views.iter().map(|view| kind.seen_through(view)));
        let views = seen.map(|view| &*Box::leak(Box::new(view))).collect();
        Self { types, views, by_model }
    }

    /// Every type.
    pub fn all(&self) -> impl Iterator<Item = &'static ResourceType> + '_ {
        self.types.iter().copied()
    }

    /// Every type as it is seen at its further addresses.
    pub fn views(&self) -> impl Iterator<Item = &'static ResourceType> + '_ {
        self.views.iter().copied()
    }

    /// The type of a model.
    pub fn find(&self, model: &str) -> Option<&'static ResourceType> {
        self.by_model.get(model).copied()
    }

    /// The types a reference to `model` may point to.
    pub fn targets(&self, model: &str) -> Vec<&'static ResourceType> {
        self.types.iter().copied().filter(|t| t.answers_to(model)).collect()
    }

    /// The kinds of a family.
    pub fn family(&self, family: Family) -> Vec<&'static ResourceType> {
        self.types.iter().copied().filter(|t| t.family == Some(family)).collect()
    }
}
