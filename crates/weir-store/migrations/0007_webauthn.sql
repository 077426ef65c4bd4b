-- Models of authenticators, and what a credential told about itself at set-up.

-- signed: from a metadata file whose signature was checked; plain lists leave such rows alone.
-- roots: certificates (DER, base64url) that attestations of the model lead to, as a JSON list.
CREATE TABLE webauthn_device_type (
    aaguid TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    icon TEXT,
    roots TEXT NOT NULL DEFAULT '[]',
    revoked BOOLEAN NOT NULL DEFAULT FALSE,
    signed BOOLEAN NOT NULL DEFAULT FALSE
);
INSERT INTO webauthn_device_type (aaguid, description)
VALUES ('00000000-0000-0000-0000-000000000000', 'authentik: Unknown devices');

ALTER TABLE identity_device_webauthn ADD COLUMN backup_eligible BOOLEAN;
ALTER TABLE identity_device_webauthn ADD COLUMN backed_up BOOLEAN;
-- Format of the statement that vouched for the model.
ALTER TABLE identity_device_webauthn ADD COLUMN attestation TEXT NOT NULL DEFAULT '';
