-- Search for a part of a name in a directory of a million users: an index of trigrams, as each database has it.
{{only sqlite}}
CREATE VIRTUAL TABLE identity_user_search USING fts5(
    username, name, email, uuid, attributes, content='identity_user', content_rowid='id', tokenize='trigram'
);
INSERT INTO identity_user_search (identity_user_search) VALUES ('rebuild');
CREATE TRIGGER identity_user_search_insert AFTER INSERT ON identity_user BEGIN
    INSERT INTO identity_user_search (rowid, username, name, email, uuid, attributes)
    VALUES (new.id, new.username, new.name, new.email, new.uuid, new.attributes);
END;
CREATE TRIGGER identity_user_search_delete AFTER DELETE ON identity_user BEGIN
    INSERT INTO identity_user_search (identity_user_search, rowid, username, name, email, uuid, attributes)
    VALUES ('delete', old.id, old.username, old.name, old.email, old.uuid, old.attributes);
END;
CREATE TRIGGER identity_user_search_update AFTER UPDATE OF username, name, email, uuid, attributes ON identity_user BEGIN
    INSERT INTO identity_user_search (identity_user_search, rowid, username, name, email, uuid, attributes)
    VALUES ('delete', old.id, old.username, old.name, old.email, old.uuid, old.attributes);
    INSERT INTO identity_user_search (rowid, username, name, email, uuid, attributes)
    VALUES (new.id, new.username, new.name, new.email, new.uuid, new.attributes);
END;
{{end}}
{{only postgres}}
-- The extension ships with PostgreSQL but need not be installed; without it search reads the whole table.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX identity_user_search ON identity_user
        USING gin (username gin_trgm_ops, name gin_trgm_ops, email gin_trgm_ops, uuid gin_trgm_ops, attributes gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'no trigram index for the search of users: %', SQLERRM;
END
$$;
{{end}}
