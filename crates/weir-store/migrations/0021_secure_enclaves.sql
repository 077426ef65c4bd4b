-- Public halves of keys that Apple devices keep for people.

CREATE TABLE endpoint_secure_enclave (
    id TEXT PRIMARY KEY,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    apple_secure_enclave_key TEXT NOT NULL,
    apple_enclave_key_id TEXT NOT NULL UNIQUE,
    device_type TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX endpoint_secure_enclave_user ON endpoint_secure_enclave ("user");
