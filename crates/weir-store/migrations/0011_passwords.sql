-- Hashes of passwords that were replaced, kept only while a policy looks at them.
CREATE TABLE password_history (
    user_id BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    password TEXT NOT NULL,
    replaced BIGINT NOT NULL,
    PRIMARY KEY (user_id, password)
);
CREATE INDEX password_history_replaced ON password_history (user_id, replaced);
