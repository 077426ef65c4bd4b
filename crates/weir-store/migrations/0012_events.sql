-- The chain over the audit trail. seq and hash are NULL until an event has been given its place.
ALTER TABLE audit_event ADD COLUMN seq BIGINT;
ALTER TABLE audit_event ADD COLUMN hash TEXT;
CREATE UNIQUE INDEX audit_event_seq ON audit_event (seq) WHERE seq IS NOT NULL;
CREATE INDEX audit_event_unsealed ON audit_event (created, id) WHERE seq IS NULL;
-- What searches and numbers ask for; the second one replaces the index over the time alone.
CREATE INDEX audit_event_username ON audit_event (username, created);
CREATE INDEX audit_event_time ON audit_event (created, action);
DROP INDEX audit_event_created;

-- The end of the chain, signed: one row. rows and size are those of the events that are still there.
CREATE TABLE audit_chain (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    signature TEXT NOT NULL,
    kept BIGINT NOT NULL,
    size BIGINT NOT NULL
);

-- Places whose events were removed or changed, signed; neighbouring ones are one row. reasons: how many went why (JSON).
CREATE TABLE audit_gap (
    first_seq BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL,
    hash_before TEXT NOT NULL,
    hash_after TEXT NOT NULL,
    reasons TEXT NOT NULL,
    changed BIGINT NOT NULL,
    signature TEXT NOT NULL
);
CREATE INDEX audit_gap_last ON audit_gap (last_seq);

-- Stretches of the chain that rules have yet to look at.
CREATE TABLE event_batch (
    first_seq BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL
);

CREATE TABLE event_notification (
    id TEXT NOT NULL PRIMARY KEY,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    severity TEXT NOT NULL,
    body TEXT NOT NULL,
    hyperlink TEXT,
    hyperlink_label TEXT,
    event_id TEXT,
    seen BOOLEAN NOT NULL DEFAULT FALSE,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX event_notification_user ON event_notification ("user", created);
CREATE INDEX event_notification_expires ON event_notification (expires);

-- Exports people asked for. The file stands in parts, so that no statement carries all of it.
CREATE TABLE data_export (
    id TEXT NOT NULL PRIMARY KEY,
    requested_by BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    requested_on BIGINT NOT NULL,
    model TEXT NOT NULL,
    query_params TEXT NOT NULL,
    media_type TEXT NOT NULL,
    completed BOOLEAN NOT NULL DEFAULT FALSE,
    expires BIGINT NOT NULL
);
CREATE INDEX data_export_requested_by ON data_export (requested_by, requested_on);
CREATE INDEX data_export_expires ON data_export (expires);
CREATE TABLE data_export_part (
    export TEXT NOT NULL REFERENCES data_export (id) ON DELETE CASCADE,
    part BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (export, part)
);
