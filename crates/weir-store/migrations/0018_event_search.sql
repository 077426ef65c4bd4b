-- What events are about, beside the details, so that lists by object and by application and numbers per application need
-- not read the details of every event.
ALTER TABLE audit_event ADD COLUMN object_pk TEXT;
ALTER TABLE audit_event ADD COLUMN application TEXT;
{{only sqlite}}
UPDATE audit_event SET
    object_pk = CASE WHEN json_type(context, '$.model.pk') IN ('text', 'integer')
        THEN replace(CAST(json_extract(context, '$.model.pk') AS TEXT), '-', '') END,
    application = CASE WHEN json_type(context, '$.authorized_application.pk') IN ('text', 'integer')
        THEN replace(CAST(json_extract(context, '$.authorized_application.pk') AS TEXT), '-', '') END
WHERE context LIKE '%"model"%' OR context LIKE '%"authorized_application"%';
{{end}}
{{only postgres}}
UPDATE audit_event SET
    object_pk = CASE WHEN jsonb_typeof(context::jsonb #> '{model,pk}') IN ('string', 'number')
        THEN replace(context::jsonb #>> '{model,pk}', '-', '') END,
    application = CASE WHEN jsonb_typeof(context::jsonb #> '{authorized_application,pk}') IN ('string', 'number')
        THEN replace(context::jsonb #>> '{authorized_application,pk}', '-', '') END
WHERE context LIKE '%"model"%' OR context LIKE '%"authorized_application"%';
{{end}}
CREATE INDEX audit_event_object ON audit_event (object_pk, created) WHERE object_pk IS NOT NULL;
CREATE INDEX audit_event_application ON audit_event (application, created, action, user_id) WHERE application IS NOT NULL;
CREATE INDEX audit_event_client ON audit_event (client_ip, created);

-- Digests of API keys that were taken away, so that their use can be told. told: when that was done last.
CREATE TABLE revoked_key (
    key_digest TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    identifier TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    revoked BIGINT NOT NULL,
    told BIGINT,
    expires BIGINT NOT NULL
);
CREATE INDEX revoked_key_expires ON revoked_key (expires);

-- How far the rules have come in a stretch.
ALTER TABLE event_batch ADD COLUMN next_seq BIGINT;
