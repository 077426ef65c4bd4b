-- Identity and artefacts: tables that grow with the site (architecture.md §2). Times are microseconds since 1970, UTC.
CREATE TABLE identity_user (
    id {{auto_id}},
    uuid TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    username_lower TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    email TEXT NOT NULL DEFAULT '',
    email_lower TEXT NOT NULL DEFAULT '',
    upn TEXT,
    upn_lower TEXT,
    password TEXT NOT NULL DEFAULT '!',
    password_change_date BIGINT NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    last_login BIGINT,
    date_joined BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    path TEXT NOT NULL DEFAULT 'users',
    type TEXT NOT NULL DEFAULT 'internal',
    security_epoch BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX identity_user_username_lower ON identity_user (username_lower);
CREATE INDEX identity_user_email ON identity_user (email);
CREATE INDEX identity_user_email_lower ON identity_user (email_lower);
CREATE INDEX identity_user_upn ON identity_user (upn);
CREATE INDEX identity_user_upn_lower ON identity_user (upn_lower);
CREATE INDEX identity_user_name ON identity_user (name);
CREATE INDEX identity_user_path ON identity_user (path);
CREATE INDEX identity_user_joined ON identity_user (date_joined);
CREATE INDEX identity_user_last_login ON identity_user (last_login);

CREATE TABLE identity_group (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    is_superuser BOOLEAN NOT NULL DEFAULT FALSE,
    attributes TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE identity_group_parent (
    group_id TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    parent_id TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, parent_id)
);
CREATE INDEX identity_group_parent_parent ON identity_group_parent (parent_id);
CREATE TABLE identity_membership (
    user_id BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
);
CREATE INDEX identity_membership_group ON identity_membership (group_id);

CREATE TABLE identity_role (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    managed TEXT
);
CREATE TABLE identity_user_role (
    user_id BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    role_id TEXT NOT NULL REFERENCES identity_role (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX identity_user_role_role ON identity_user_role (role_id);
CREATE TABLE identity_group_role (
    group_id TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    role_id TEXT NOT NULL REFERENCES identity_role (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, role_id)
);
CREATE INDEX identity_group_role_role ON identity_group_role (role_id);
-- object_id is empty for a permission on every object of the model.
CREATE TABLE identity_role_permission (
    id {{auto_id}},
    role_id TEXT NOT NULL REFERENCES identity_role (id) ON DELETE CASCADE,
    permission TEXT NOT NULL,
    model TEXT NOT NULL DEFAULT '',
    object_id TEXT NOT NULL DEFAULT '',
    UNIQUE (role_id, permission, object_id)
);
CREATE INDEX identity_role_permission_object ON identity_role_permission (model, object_id);

-- permissions: JSON list of the numbers of permissions.
CREATE TABLE identity_initial_permissions (
    id {{auto_id}},
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL REFERENCES identity_role (id) ON DELETE CASCADE,
    permissions TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX identity_initial_permissions_role ON identity_initial_permissions (role);

-- The key of an API token can be shown again (contract view_key), so it is kept readable beside its digest.
CREATE TABLE identity_token (
    id TEXT PRIMARY KEY,
    identifier TEXT NOT NULL UNIQUE,
    key_digest TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    intent TEXT NOT NULL DEFAULT 'api',
    description TEXT NOT NULL DEFAULT '',
    managed TEXT UNIQUE,
    expiring BOOLEAN NOT NULL DEFAULT TRUE,
    expires BIGINT,
    security_epoch BIGINT NOT NULL,
    flow_id TEXT,
    plan TEXT,
    revoke_on_execution BOOLEAN NOT NULL DEFAULT TRUE,
    created BIGINT NOT NULL
);
CREATE INDEX identity_token_user ON identity_token ("user");
CREATE INDEX identity_token_expires ON identity_token (expires);
CREATE INDEX identity_token_flow ON identity_token (flow_id);

-- A browser session. user_id is null while nobody signed in. data is everything that survives a log-in;
-- flow is the plan with its history, replaced only when flow_version is the one that was read.
CREATE TABLE identity_session (
    key_digest TEXT PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    "user" BIGINT REFERENCES identity_user (id) ON DELETE CASCADE,
    security_epoch BIGINT NOT NULL DEFAULT 0,
    data TEXT NOT NULL DEFAULT '{}',
    flow TEXT,
    flow_version BIGINT NOT NULL DEFAULT 0,
    expires BIGINT NOT NULL,
    last_ip TEXT NOT NULL DEFAULT '',
    last_user_agent TEXT NOT NULL DEFAULT '',
    last_used BIGINT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX identity_session_user ON identity_session ("user");
CREATE INDEX identity_session_expires ON identity_session (expires);

CREATE TABLE identity_consent (
    id TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    application_id TEXT NOT NULL,
    permissions TEXT NOT NULL DEFAULT '',
    expiring BOOLEAN NOT NULL DEFAULT TRUE,
    expires BIGINT,
    security_epoch BIGINT NOT NULL,
    UNIQUE (user_id, application_id)
);

CREATE TABLE reputation (
    id TEXT PRIMARY KEY,
    identifier TEXT NOT NULL,
    ip TEXT NOT NULL,
    ip_geo_data TEXT NOT NULL DEFAULT '{}',
    ip_asn_data TEXT NOT NULL DEFAULT '{}',
    score BIGINT NOT NULL DEFAULT 0,
    updated BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    UNIQUE (identifier, ip)
);
CREATE INDEX reputation_ip ON reputation (ip);
CREATE INDEX reputation_expires ON reputation (expires);

CREATE TABLE audit_event (
    id TEXT PRIMARY KEY,
    "user" TEXT NOT NULL,
    user_id BIGINT,
    username TEXT NOT NULL DEFAULT '',
    action TEXT NOT NULL,
    app TEXT NOT NULL,
    context TEXT NOT NULL,
    client_ip TEXT,
    brand TEXT NOT NULL DEFAULT '{}',
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX audit_event_created ON audit_event (created);
CREATE INDEX audit_event_action ON audit_event (action, created);
CREATE INDEX audit_event_user ON audit_event (user_id, created);
CREATE INDEX audit_event_expires ON audit_event (expires);

-- The record of one run of a flow, kept when it ends (architecture.md §3, receipts).
CREATE TABLE flow_run (
    id TEXT PRIMARY KEY,
    flow_id TEXT NOT NULL,
    flow_slug TEXT NOT NULL,
    user_id BIGINT,
    outcome TEXT NOT NULL,
    record TEXT NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX flow_run_ended ON flow_run (ended);
CREATE INDEX flow_run_expires ON flow_run (expires);
