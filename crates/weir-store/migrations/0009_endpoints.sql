-- Devices people work on, as connectors know them. Devices, groups and connectors themselves are documents.

CREATE TABLE endpoint_enrollment_token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    connector TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    device_group TEXT REFERENCES object (id) ON DELETE SET NULL,
    expiring BOOLEAN NOT NULL DEFAULT TRUE,
    expires BIGINT,
    key TEXT NOT NULL,
    key_digest TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL
);
CREATE INDEX endpoint_enrollment_token_connector ON endpoint_enrollment_token (connector);

-- What a connector knows of a device. The key of the agent's token proves its answers, so that it is kept as it is;
-- facts are those of the last check-in.
CREATE TABLE endpoint_connection (
    id TEXT PRIMARY KEY,
    device TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    connector TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    token_key TEXT NOT NULL,
    token_digest TEXT NOT NULL UNIQUE,
    facts {{json}},
    facts_created BIGINT,
    facts_expire BIGINT,
    created BIGINT NOT NULL,
    UNIQUE (device, connector)
);
CREATE INDEX endpoint_connection_connector ON endpoint_connection (connector);

-- A sign-in that an agent began; the digest of its link is taken by the first browser that opens it.
CREATE TABLE endpoint_sign_in (
    id TEXT PRIMARY KEY,
    link_digest TEXT UNIQUE,
    connection TEXT NOT NULL REFERENCES endpoint_connection (id) ON DELETE CASCADE,
    expires BIGINT NOT NULL
);
CREATE INDEX endpoint_sign_in_connection ON endpoint_sign_in (connection);
CREATE INDEX endpoint_sign_in_expires ON endpoint_sign_in (expires);
