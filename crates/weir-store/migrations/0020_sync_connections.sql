-- Several accounts at a target may be connected with one object here; the one with the highest `chosen` is told of
-- changes. Those that the sync found or made have 0 or less, those of administrators the time they were made. An account
-- belongs to one object. SQLite cannot drop a constraint, so the tables are made anew.
CREATE TABLE sync_kept AS SELECT * FROM sync_scim_user;
DROP TABLE sync_scim_user;
CREATE TABLE sync_scim_user (
    id TEXT PRIMARY KEY,
    scim_id TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    chosen BIGINT NOT NULL DEFAULT 0,
    UNIQUE (provider, scim_id)
);
CREATE INDEX sync_scim_user_user ON sync_scim_user ("user");
CREATE INDEX sync_scim_user_object ON sync_scim_user (provider, "user");
INSERT INTO sync_scim_user (id, scim_id, "user", provider, attributes)
    SELECT id, scim_id, "user", provider, attributes FROM sync_kept;
DROP TABLE sync_kept;
CREATE TABLE sync_kept AS SELECT * FROM sync_scim_group;
DROP TABLE sync_scim_group;
CREATE TABLE sync_scim_group (
    id TEXT PRIMARY KEY,
    scim_id TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    members TEXT NOT NULL DEFAULT '[]',
    chosen BIGINT NOT NULL DEFAULT 0,
    UNIQUE (provider, scim_id)
);
CREATE INDEX sync_scim_group_group ON sync_scim_group ("group");
CREATE INDEX sync_scim_group_object ON sync_scim_group (provider, "group");
INSERT INTO sync_scim_group (id, scim_id, "group", provider, attributes, members)
    SELECT id, scim_id, "group", provider, attributes, members FROM sync_kept;
DROP TABLE sync_kept;
CREATE TABLE sync_kept AS SELECT * FROM sync_google_user;
DROP TABLE sync_google_user;
CREATE TABLE sync_google_user (
    id TEXT PRIMARY KEY,
    google_id TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    chosen BIGINT NOT NULL DEFAULT 0,
    UNIQUE (provider, google_id)
);
CREATE INDEX sync_google_user_user ON sync_google_user ("user");
CREATE INDEX sync_google_user_object ON sync_google_user (provider, "user");
INSERT INTO sync_google_user (id, google_id, "user", provider, attributes)
    SELECT id, google_id, "user", provider, attributes FROM sync_kept;
DROP TABLE sync_kept;
CREATE TABLE sync_kept AS SELECT * FROM sync_google_group;
DROP TABLE sync_google_group;
CREATE TABLE sync_google_group (
    id TEXT PRIMARY KEY,
    google_id TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    members TEXT NOT NULL DEFAULT '[]',
    chosen BIGINT NOT NULL DEFAULT 0,
    UNIQUE (provider, google_id)
);
CREATE INDEX sync_google_group_group ON sync_google_group ("group");
CREATE INDEX sync_google_group_object ON sync_google_group (provider, "group");
INSERT INTO sync_google_group (id, google_id, "group", provider, attributes, members)
    SELECT id, google_id, "group", provider, attributes, members FROM sync_kept;
DROP TABLE sync_kept;
CREATE TABLE sync_kept AS SELECT * FROM sync_entra_user;
DROP TABLE sync_entra_user;
CREATE TABLE sync_entra_user (
    id TEXT PRIMARY KEY,
    microsoft_id TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    chosen BIGINT NOT NULL DEFAULT 0,
    UNIQUE (provider, microsoft_id)
);
CREATE INDEX sync_entra_user_user ON sync_entra_user ("user");
CREATE INDEX sync_entra_user_object ON sync_entra_user (provider, "user");
INSERT INTO sync_entra_user (id, microsoft_id, "user", provider, attributes)
    SELECT id, microsoft_id, "user", provider, attributes FROM sync_kept;
DROP TABLE sync_kept;
CREATE TABLE sync_kept AS SELECT * FROM sync_entra_group;
DROP TABLE sync_entra_group;
CREATE TABLE sync_entra_group (
    id TEXT PRIMARY KEY,
    microsoft_id TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    provider BIGINT NOT NULL,
    attributes TEXT NOT NULL DEFAULT '{}',
    members TEXT NOT NULL DEFAULT '[]',
    chosen BIGINT NOT NULL DEFAULT 0,
    UNIQUE (provider, microsoft_id)
);
CREATE INDEX sync_entra_group_group ON sync_entra_group ("group");
CREATE INDEX sync_entra_group_object ON sync_entra_group (provider, "group");
INSERT INTO sync_entra_group (id, microsoft_id, "group", provider, attributes, members)
    SELECT id, microsoft_id, "group", provider, attributes, members FROM sync_kept;
DROP TABLE sync_kept;

-- What the target called an object that was deleted here: one JSON text a line.
ALTER TABLE sync_state ADD COLUMN remote_ids TEXT NOT NULL DEFAULT '';
{{only sqlite}}
UPDATE sync_state SET remote_ids = json_quote(remote_id) || char(10) WHERE remote_id <> '';
{{end}}
{{only postgres}}
UPDATE sync_state SET remote_ids = to_json(remote_id)::text || chr(10) WHERE remote_id <> '';
{{end}}
ALTER TABLE sync_state DROP COLUMN remote_id;

-- Counts what became of the target as a whole: an answer to a call of an earlier turn says nothing about this one.
ALTER TABLE sync_target ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
