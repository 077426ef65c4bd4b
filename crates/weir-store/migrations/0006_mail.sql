-- Mails on their way: written with what causes them, deleted when delivered or of no more use. message is the finished
-- mail with its links and codes; stage_id names the stage whose server is used.
CREATE TABLE mail_outbox (
    id TEXT NOT NULL PRIMARY KEY,
    stage_id TEXT,
    message TEXT NOT NULL,
    origin TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX mail_outbox_expires ON mail_outbox (expires);

-- How often a recipient was sent something lately: instants of the last sends (JSON), by digest of purpose and address.
CREATE TABLE mail_throttle (
    recipient TEXT NOT NULL PRIMARY KEY,
    stamps TEXT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX mail_throttle_expires ON mail_throttle (expires);

-- Who has the key of an invitation may use it. flow: the only flow that takes it.
CREATE TABLE invitation (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    expires BIGINT,
    fixed_data TEXT NOT NULL DEFAULT '{}',
    single_use BOOLEAN NOT NULL DEFAULT FALSE,
    flow TEXT,
    created_by BIGINT REFERENCES identity_user (id) ON DELETE CASCADE,
    created BIGINT NOT NULL
);
CREATE INDEX invitation_created_by ON invitation (created_by);
CREATE INDEX invitation_flow ON invitation (flow);
CREATE INDEX invitation_expires ON invitation (expires);
