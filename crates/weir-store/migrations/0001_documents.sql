-- Configuration: one document for each object, with its references, unique keys and previous versions.

CREATE TABLE object (
    id TEXT NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,
    data {{json}} NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL
);
CREATE INDEX object_model_idx ON object (model);

-- on_delete: what happens to the referring object when the target goes.
CREATE TABLE object_ref (
    from_id TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    field TEXT NOT NULL,
    to_model TEXT NOT NULL,
    to_id TEXT NOT NULL,
    on_delete TEXT NOT NULL,
    PRIMARY KEY (from_id, field, to_id)
);
CREATE INDEX object_ref_to_idx ON object_ref (to_id);

CREATE TABLE object_unique (
    model TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    id TEXT NOT NULL REFERENCES object (id) ON DELETE CASCADE,
    PRIMARY KEY (model, key, value)
);
CREATE INDEX object_unique_id_idx ON object_unique (id);

-- data: the document before the change. The object may be gone, so it is no foreign key.
CREATE TABLE object_revision (
    id {{auto_id}},
    object_id TEXT NOT NULL,
    model TEXT NOT NULL,
    action TEXT NOT NULL,
    data {{json}},
    actor {{json}},
    request_id TEXT,
    created BIGINT NOT NULL
);
CREATE INDEX object_revision_object_idx ON object_revision (object_id);

-- Facts about this installation: its id, secret key, settings, state of the set-up.
CREATE TABLE installation (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);
