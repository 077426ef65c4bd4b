-- Applications: numbers of documents that are known by one, and consents known by one.

-- last: the number given last; numbers are never given twice.
CREATE TABLE object_number (
    family TEXT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);

-- Consents are known by numbers outside, which a key of text cannot give.
CREATE TABLE identity_consent_numbered (
    id {{auto_id}},
    user_id BIGINT NOT NULL REFERENCES identity_user (id) ON DELETE CASCADE,
    application_id TEXT NOT NULL,
    permissions TEXT NOT NULL DEFAULT '',
    expiring BOOLEAN NOT NULL DEFAULT TRUE,
    expires BIGINT,
    security_epoch BIGINT NOT NULL,
    UNIQUE (user_id, application_id)
);
INSERT INTO identity_consent_numbered (user_id, application_id, permissions, expiring, expires, security_epoch)
    SELECT user_id, application_id, permissions, expiring, expires, security_epoch FROM identity_consent;
DROP TABLE identity_consent;
ALTER TABLE identity_consent_numbered RENAME TO identity_consent;
-- Values of custom attributes that must be unique, one row for each object that has one.
CREATE TABLE object_attribute_value (
    attribute TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    value TEXT NOT NULL,
    object_id TEXT NOT NULL,
    PRIMARY KEY (attribute, value)
);
CREATE INDEX object_attribute_value_object ON object_attribute_value (object_id);

CREATE INDEX identity_consent_application ON identity_consent (application_id);
CREATE INDEX identity_consent_expires ON identity_consent (expires);
