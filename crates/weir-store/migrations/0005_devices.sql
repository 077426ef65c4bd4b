-- Second factors of users: one table for each kind. Times are microseconds since 1970, UTC.
-- failures and failed_at count wrong answers in a row; they close the device for a while (weir-identity, device).
-- Devices that only one stage can reach (a mail server, an SMS account, a Duo account) go with that stage.

CREATE TABLE identity_device_totp (
    id {{auto_id}},
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT,
    -- Base32. A device without secret proves nothing.
    secret TEXT NOT NULL DEFAULT '',
    digits BIGINT NOT NULL DEFAULT 6,
    -- Steps by which the device's clock is ahead.
    drift BIGINT NOT NULL DEFAULT 0,
    -- The newest step that was used up; no older one is taken.
    last_step BIGINT NOT NULL DEFAULT -1
);
CREATE INDEX identity_device_totp_user ON identity_device_totp ("user");

CREATE TABLE identity_device_static (
    id {{auto_id}},
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT
);
CREATE INDEX identity_device_static_user ON identity_device_static ("user");

-- Unused codes; a used one is gone. Their owner may look at them (contract token_set), so they are readable.
CREATE TABLE identity_device_static_code (
    id {{auto_id}},
    device_id BIGINT NOT NULL REFERENCES identity_device_static (id) ON DELETE CASCADE,
    code TEXT NOT NULL
);
CREATE INDEX identity_device_static_code_device ON identity_device_static_code (device_id);

CREATE TABLE identity_device_webauthn (
    id {{auto_id}},
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT,
    -- Base64url without padding, as on the wire.
    credential_id TEXT UNIQUE,
    -- COSE key, base64url.
    public_key TEXT NOT NULL DEFAULT '',
    sign_count BIGINT NOT NULL DEFAULT 0,
    rp_id TEXT NOT NULL DEFAULT '',
    aaguid TEXT NOT NULL DEFAULT '',
    -- aaguid of the device type, where one is known.
    device_type TEXT
);
CREATE INDEX identity_device_webauthn_user ON identity_device_webauthn ("user");

CREATE TABLE identity_device_duo (
    id {{auto_id}},
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT,
    stage TEXT REFERENCES object (id) ON DELETE CASCADE,
    duo_user_id TEXT NOT NULL DEFAULT '',
    UNIQUE (stage, duo_user_id)
);
CREATE INDEX identity_device_duo_user ON identity_device_duo ("user");

-- code_digest and code_expires: the code that is on its way to the person.
CREATE TABLE identity_device_email (
    id {{auto_id}},
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT,
    stage TEXT REFERENCES object (id) ON DELETE CASCADE,
    email TEXT NOT NULL DEFAULT '',
    code_digest TEXT,
    code_expires BIGINT,
    UNIQUE (stage, email)
);
CREATE INDEX identity_device_email_user ON identity_device_email ("user");

-- phone_number: the number, or `hash:` and its SHA-256 where the stage only verifies.
CREATE TABLE identity_device_sms (
    id {{auto_id}},
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT,
    stage TEXT REFERENCES object (id) ON DELETE CASCADE,
    phone_number TEXT NOT NULL DEFAULT '',
    code_digest TEXT,
    code_expires BIGINT,
    UNIQUE (stage, phone_number)
);
CREATE INDEX identity_device_sms_user ON identity_device_sms ("user");

-- Managed browsers that Google vouched for. Never asked for a code; the counters stand at 0 so that all tables read alike.
CREATE TABLE identity_device_endpoint (
    id TEXT PRIMARY KEY,
    "user" BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    created BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_used BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    failed_at BIGINT,
    stage TEXT REFERENCES object (id) ON DELETE SET NULL,
    host_identifier TEXT NOT NULL DEFAULT '',
    attributes TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX identity_device_endpoint_user ON identity_device_endpoint ("user");
CREATE INDEX identity_device_endpoint_host ON identity_device_endpoint (host_identifier);
CREATE INDEX identity_device_endpoint_stage ON identity_device_endpoint (stage);
