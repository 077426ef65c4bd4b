//! The tables expressions may ask, under Django's names. Columns with secrets are not in here, so no look-up, order or
//! row can reach them.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A number.
    Int,
    /// A text.
    Text,
    /// A UUID as text.
    Uuid,
    /// A truth value.
    Bool,
    /// An instant.
    Time,
    /// A JSON document.
    Json,
}

/// A column under the name expressions use.
#[derive(Debug)]
pub struct Field {
    /// Name in look-ups.
    pub name: &'static str,
    /// Column.
    pub column: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// Column with the same text in lower case, when there is one.
    pub folded: Option<&'static str>,
}

/// A way from one table to another. `{b}` stands for the other table's alias, `{l}` for the link table's.
#[derive(Debug)]
pub struct Relation {
    /// Name in look-ups.
    pub name: &'static str,
    /// Own column that `key` is compared with.
    pub own: &'static str,
    /// What to select from `from`.
    pub key: &'static str,
    /// The other table, with the link table where there is one.
    pub from: &'static str,
    /// The other table.
    pub to: &'static Table,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Class name in Python.
    pub class: &'static str,
    /// `app_label.model`.
    pub model: &'static str,
    /// Name in SQL.
    pub sql: &'static str,
    /// Fields; the first is the primary key.
    pub fields: &'static [Field],
    /// Further names of fields.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Ways to other tables.
    pub relations: &'static [Relation],
    /// Condition on every query, with `{t}` for the alias; empty for none.
    pub only: &'static str,
    /// Default order.
    pub order: &'static str,
}

impl Table {
    /// The primary key.
    pub fn pk(&self) -> Option<&'static Field> {
        self.fields.first()
    }

    /// A field by any of its names.
    pub fn find_field(&self, name: &str) -> Option<&'static Field> {
        if name == "pk" {
            return self.pk();
        }
        let name = self.aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        self.fields.iter().find(|f| f.name == name)
    }

    /// A relation by name.
    pub fn find_relation(&self, name: &str) -> Option<&'static Relation> {
        self.relations.iter().find(|r| r.name == name)
    }

    /// The names that look-ups may begin with.
    pub fn choices(&self) -> String {
        let mut names: Vec<&str> =
            self.fields.iter().map(|f| f.name).chain(self.relations.iter().map(|r| r.name)).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}

const fn field(name: &'static str, holds: Holds) -> Field {
    Field { name, column: name, holds, folded: None }
}

const fn folded(name: &'static str, folded: &'static str) -> Field {
    Field { name, column: name, holds: Holds::Text, folded: Some(folded) }
}

const MEMBERS: &str = "identity_membership {l} JOIN identity_user {b} ON {b}.id = {l}.user_id";
const GROUPS: &str = "identity_membership {l} JOIN identity_group {b} ON {b}.id = {l}.group_id";

/// Users.
pub static USER: Table = Table {
    class: "User",
    model: "authentik_core.user",
    sql: "identity_user",
    fields: &[
        field("id", Holds::Int),
        field("uuid", Holds::Uuid),
        folded("username", "username_lower"),
        field("name", Holds::Text),
        folded("email", "email_lower"),
        field("is_active", Holds::Bool),
        field("type", Holds::Text),
        field("path", Holds::Text),
        field("attributes", Holds::Json),
        field("last_login", Holds::Time),
        field("date_joined", Holds::Time),
        field("password_change_date", Holds::Time),
        field("last_updated", Holds::Time),
        field("security_epoch", Holds::Int),
    ],
    aliases: &[],
    relations: &[
        Relation { name: "groups", own: "id", key: "{l}.user_id", from: GROUPS, to: &GROUP },
        Relation { name: "ak_groups", own: "id", key: "{l}.user_id", from: GROUPS, to: &GROUP },
        Relation {
            name: "roles",
            own: "id",
            key: "{l}.user_id",
            from: "identity_user_role {l} JOIN identity_role {b} ON {b}.id = {l}.role_id",
            to: &ROLE,
        },
        Relation { name: "token", own: "id", key: "{b}.\"user\"", from: "identity_token {b}", to: &TOKEN },
    ],
    only: "",
    order: "pk",
};

/// Groups.
pub static GROUP: Table = Table {
    class: "Group",
    model: "authentik_core.group",
    sql: "identity_group",
    fields: &[
        field("group_uuid", Holds::Uuid).at("id"),
        field("name", Holds::Text),
        field("is_superuser", Holds::Bool),
        field("attributes", Holds::Json),
    ],
    aliases: &[("id", "group_uuid")],
    relations: &[
        Relation { name: "users", own: "id", key: "{l}.group_id", from: MEMBERS, to: &USER },
        Relation { name: "user", own: "id", key: "{l}.group_id", from: MEMBERS, to: &USER },
        Relation {
            name: "parents",
            own: "id",
            key: "{l}.group_id",
            from: "identity_group_parent {l} JOIN identity_group {b} ON {b}.id = {l}.parent_id",
            to: &GROUP,
        },
        Relation {
            name: "children",
            own: "id",
            key: "{l}.parent_id",
            from: "identity_group_parent {l} JOIN identity_group {b} ON {b}.id = {l}.group_id",
            to: &GROUP,
        },
        Relation {
            name: "roles",
            own: "id",
            key: "{l}.group_id",
            from: "identity_group_role {l} JOIN identity_role {b} ON {b}.id = {l}.role_id",
            to: &ROLE,
        },
    ],
    only: "",
    order: "name",
};

/// Roles.
pub static ROLE: Table = Table {
    class: "Role",
    model: "authentik_rbac.role",
    sql: "identity_role",
    fields: &[field("uuid", Holds::Uuid).at("id"), field("name", Holds::Text), field("managed", Holds::Text)],
    aliases: &[("id", "uuid")],
    relations: &[
        Relation {
            name: "users",
            own: "id",
            key: "{l}.role_id",
            from: "identity_user_role {l} JOIN identity_user {b} ON {b}.id = {l}.user_id",
            to: &USER,
        },
        Relation {
            name: "groups",
            own: "id",
            key: "{l}.role_id",
            from: "identity_group_role {l} JOIN identity_group {b} ON {b}.id = {l}.group_id",
            to: &GROUP,
        },
    ],
    only: "",
    order: "name",
};

/// Tokens, without their keys. Those of flow links are not shown.
pub static TOKEN: Table = Table {
    class: "Token",
    model: "authentik_core.token",
    sql: "identity_token",
    fields: &[
        field("token_uuid", Holds::Uuid).at("id"),
        field("identifier", Holds::Text),
        field("user_id", Holds::Int).at("user"),
        field("intent", Holds::Text),
        field("description", Holds::Text),
        field("managed", Holds::Text),
        field("expiring", Holds::Bool),
        field("expires", Holds::Time),
    ],
    aliases: &[("id", "token_uuid")],
    relations: &[Relation { name: "user", own: "user", key: "{b}.id", from: "identity_user {b}", to: &USER }],
    only: "{t}.flow_id IS NULL",
    order: "identifier",
};

/// The audit trail.
pub static EVENT: Table = Table {
    class: "Event",
    model: "authentik_events.event",
    sql: "audit_event",
    fields: &[
        field("event_uuid", Holds::Uuid).at("id"),
        field("user", Holds::Json),
        field("action", Holds::Text),
        field("app", Holds::Text),
        field("context", Holds::Json),
        field("client_ip", Holds::Text),
        field("brand", Holds::Json),
        field("created", Holds::Time),
        field("expires", Holds::Time),
    ],
    aliases: &[("id", "event_uuid")],
    relations: &[],
    only: "",
    order: "-created",
};

/// How usernames and addresses fared lately.
pub static REPUTATION: Table = Table {
    class: "Reputation",
    model: "authentik_policies_reputation.reputation",
    sql: "reputation",
    fields: &[
        field("reputation_uuid", Holds::Uuid).at("id"),
        field("identifier", Holds::Text),
        field("ip", Holds::Text),
        field("score", Holds::Int),
        field("updated", Holds::Time),
        field("expires", Holds::Time),
    ],
    aliases: &[("id", "reputation_uuid")],
    relations: &[],
    only: "",
    order: "ip",
};

impl Field {
    const fn at(self, column: &'static str) -> Self {
        Self { column, ..self }
    }
}

/// A table by `app_label.model`.
pub fn find(model: &str) -> Option<&'static Table> {
    [&USER, &GROUP, &ROLE, &TOKEN, &EVENT, &REPUTATION].into_iter().find(|t| t.model == model)
}
