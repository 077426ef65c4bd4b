-- PostgreSQL writes a changed row to every index of its table, and each log-in changes a user: so what is searched stands
-- in a table of its own, which is written only when the words change.
{{only postgres}}
DROP INDEX IF EXISTS identity_user_search;
CREATE TABLE identity_user_search (
    id BIGINT PRIMARY KEY REFERENCES identity_user (id) ON DELETE CASCADE,
    words TEXT NOT NULL
);
INSERT INTO identity_user_search (id, words)
    SELECT id, concat_ws(E'\n', username, name, email, uuid, attributes) FROM identity_user;
CREATE FUNCTION identity_user_search_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO identity_user_search (id, words)
    VALUES (NEW.id, concat_ws(E'\n', NEW.username, NEW.name, NEW.email, NEW.uuid, NEW.attributes))
    ON CONFLICT (id) DO UPDATE SET words = excluded.words;
    RETURN NULL;
END
$$;
CREATE TRIGGER identity_user_search_insert AFTER INSERT ON identity_user
    FOR EACH ROW EXECUTE FUNCTION identity_user_search_write();
CREATE TRIGGER identity_user_search_update AFTER UPDATE OF username, name, email, uuid, attributes ON identity_user
    FOR EACH ROW WHEN (
        (OLD.username, OLD.name, OLD.email, OLD.uuid, OLD.attributes)
        IS DISTINCT FROM (NEW.username, NEW.name, NEW.email, NEW.uuid, NEW.attributes)
    ) EXECUTE FUNCTION identity_user_search_write();
-- The extension ships with PostgreSQL but need not be installed; without it search reads the whole table. New words go
-- into the index at once, because a list of those not yet sorted in would have to be read by every search.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX identity_user_search_words ON identity_user_search USING gin (words gin_trgm_ops) WITH (fastupdate = off);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'no trigram index for the search of users: %', SQLERRM;
END
$$;
{{end}}
