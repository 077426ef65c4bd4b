-- What an object is called at the target whose creation may have happened without our hearing of it: by this it is
-- looked for before it is made again, and when it is deleted here meanwhile.
ALTER TABLE sync_state ADD COLUMN sought TEXT;

-- The next objects of a target: those that wait, users or groups, in order of time.
DROP INDEX sync_state_due;
CREATE INDEX sync_state_next ON sync_state (provider, model, due) WHERE state = 'pending';
