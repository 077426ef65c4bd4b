-- Sources: who is connected with what over there, sign-ins on their way, and plans that wait for one to come back.

-- kind: the kind of source. Tokens are those of the other side; no answer of the interface shows them.
CREATE TABLE source_user_connection (
    id {{auto_id}},
    kind TEXT NOT NULL,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    source TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    access_token TEXT,
    refresh_token TEXT,
    expires BIGINT,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    UNIQUE (source, identifier),
    UNIQUE (source, "user")
);
CREATE INDEX source_user_connection_user ON source_user_connection ("user");
CREATE TABLE source_group_connection (
    id {{auto_id}},
    kind TEXT NOT NULL,
    "group" TEXT NOT NULL REFERENCES identity_group (id) ON DELETE CASCADE,
    source TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    UNIQUE (source, identifier)
);
CREATE INDEX source_group_connection_group ON source_group_connection ("group");

-- A browser that was sent to a source. The digest of its state is taken by the one request that brings the state back.
CREATE TABLE source_login (
    state_digest TEXT PRIMARY KEY,
    session_digest TEXT NOT NULL,
    source TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    data TEXT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX source_login_expires ON source_login (expires);

CREATE TABLE flow_resume (
    id TEXT PRIMARY KEY,
    flow_id TEXT NOT NULL,
    user_id BIGINT REFERENCES identity_user (id) ON DELETE CASCADE,
    security_epoch BIGINT,
    plan TEXT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX flow_resume_user ON flow_resume (user_id);
CREATE INDEX flow_resume_expires ON flow_resume (expires);
