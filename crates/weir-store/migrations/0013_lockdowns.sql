-- What each account lockdown found and ended, signed. The user may be gone, so it is no foreign key.
CREATE TABLE lockdown (
    id TEXT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    username TEXT NOT NULL,
    actor_id BIGINT,
    batch TEXT,
    document TEXT NOT NULL,
    signature TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX lockdown_user ON lockdown (user_id, created);
CREATE INDEX lockdown_created ON lockdown (created);

-- Lockdowns of many users, worked off in the background. request: reason, switches and who asked for it.
CREATE TABLE lockdown_batch (
    id TEXT PRIMARY KEY,
    job_id TEXT NOT NULL,
    actor_id BIGINT,
    request TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX lockdown_batch_created ON lockdown_batch (created);

-- state: waiting, locked, refused, failed.
CREATE TABLE lockdown_batch_user (
    batch TEXT NOT NULL REFERENCES lockdown_batch (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL,
    state TEXT NOT NULL,
    lockdown TEXT,
    message TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (batch, user_id)
);
CREATE INDEX lockdown_batch_user_state ON lockdown_batch_user (batch, state);

-- Artefacts of a user are ended by user.
CREATE INDEX source_login_session ON source_login (session_digest);
