-- Outgoing sync: what other systems are to know of users and groups.

-- Outbox and memory in one: a row for each object and target. A change makes it pending and counts the version up, in the
-- transaction of the change; whoever delivers holds a claim, and settles the row only in the version it was claimed in.
-- remote_id and gone: an object that was deleted here and is still known there.
CREATE TABLE sync_state (
    id TEXT PRIMARY KEY,
    provider BIGINT NOT NULL,
    model TEXT NOT NULL,
    object_key TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    version BIGINT NOT NULL DEFAULT 1,
    attempts BIGINT NOT NULL DEFAULT 0,
    gone BOOLEAN NOT NULL DEFAULT FALSE,
    remote_id TEXT,
    due BIGINT NOT NULL,
    claim TEXT,
    claimed_until BIGINT,
    queued BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    synced BIGINT,
    UNIQUE (provider, model, object_key)
);
CREATE INDEX sync_state_due ON sync_state (provider, state, due);
CREATE INDEX sync_state_object ON sync_state (model, object_key);

-- What is known of a target as a whole. running_until: lease of the full sync that is on its way;
-- again: another one was wanted meanwhile.
CREATE TABLE sync_target (
    provider BIGINT PRIMARY KEY,
    blocked_until BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    running TEXT,
    running_until BIGINT,
    again BOOLEAN NOT NULL DEFAULT FALSE,
    last_success BIGINT,
    access_token TEXT,
    refresh_token TEXT,
    token_expires BIGINT,
    token_updated BIGINT
);

-- Memberships that came or went past the write path of users (enrolment, sources); a task tells the targets of them.
CREATE TABLE sync_moved (
    user_id BIGINT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (user_id, group_id)
);

-- Which object there is which one here, what was last sent, and which members were (groups).
CREATE TABLE sync_scim_user (
    id TEXT PRIMARY KEY,
    scim_id TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    UNIQUE (provider, "user"),
    UNIQUE (provider, scim_id)
);
CREATE INDEX sync_scim_user_user ON sync_scim_user ("user");
CREATE TABLE sync_scim_group (
    id TEXT PRIMARY KEY,
    scim_id TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    members TEXT NOT NULL DEFAULT '[]',
    UNIQUE (provider, "group"),
    UNIQUE (provider, scim_id)
);
CREATE INDEX sync_scim_group_group ON sync_scim_group ("group");
CREATE TABLE sync_google_user (
    id TEXT PRIMARY KEY,
    google_id TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    UNIQUE (provider, "user"),
    UNIQUE (provider, google_id)
);
CREATE INDEX sync_google_user_user ON sync_google_user ("user");
CREATE TABLE sync_google_group (
    id TEXT PRIMARY KEY,
    google_id TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    members TEXT NOT NULL DEFAULT '[]',
    UNIQUE (provider, "group"),
    UNIQUE (provider, google_id)
);
CREATE INDEX sync_google_group_group ON sync_google_group ("group");
CREATE TABLE sync_entra_user (
    id TEXT PRIMARY KEY,
    microsoft_id TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    UNIQUE (provider, "user"),
    UNIQUE (provider, microsoft_id)
);
CREATE INDEX sync_entra_user_user ON sync_entra_user ("user");
CREATE TABLE sync_entra_group (
    id TEXT PRIMARY KEY,
    microsoft_id TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    members TEXT NOT NULL DEFAULT '[]',
    UNIQUE (provider, "group"),
    UNIQUE (provider, microsoft_id)
);
CREATE INDEX sync_entra_group_group ON sync_entra_group ("group");
