-- Work in the background: jobs with the log of their current and previous run, schedules, workers.

-- run counts every attempt ever, attempts those since the last (manual) start; due is when it may be taken.
CREATE TABLE job (
    id TEXT NOT NULL PRIMARY KEY,
    queue_name TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    uid TEXT NOT NULL,
    args {{json}} NOT NULL,
    description TEXT,
    rel_app_label TEXT,
    rel_model TEXT,
    rel_id TEXT,
    schedule_id TEXT,
    state TEXT NOT NULL,
    aggregated_status TEXT NOT NULL,
    eta BIGINT,
    due BIGINT NOT NULL,
    max_retries BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    run BIGINT NOT NULL DEFAULT 0,
    progress DOUBLE PRECISION,
    result {{json}},
    worker_id TEXT,
    lease_until BIGINT,
    created BIGINT NOT NULL,
    mtime BIGINT NOT NULL
);
CREATE INDEX job_due_idx ON job (due) WHERE state = 'queued';
CREATE INDEX job_lease_idx ON job (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX job_mtime_idx ON job (mtime);
CREATE INDEX job_status_idx ON job (aggregated_status);
CREATE INDEX job_rel_idx ON job (rel_id);
CREATE INDEX job_schedule_idx ON job (schedule_id, created);

CREATE TABLE job_log (
    id {{auto_id}},
    job_id TEXT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    run BIGINT NOT NULL,
    created BIGINT NOT NULL,
    level TEXT NOT NULL,
    logger TEXT NOT NULL,
    event TEXT NOT NULL,
    attributes {{json}} NOT NULL
);
CREATE INDEX job_log_job_idx ON job_log (job_id, run);

CREATE TABLE schedule (
    id TEXT NOT NULL PRIMARY KEY,
    identifier TEXT,
    actor_name TEXT NOT NULL,
    uid TEXT NOT NULL,
    queue_name TEXT NOT NULL,
    args {{json}} NOT NULL,
    description TEXT,
    rel_app_label TEXT,
    rel_model TEXT,
    rel_id TEXT,
    crontab TEXT NOT NULL,
    paused BOOLEAN NOT NULL,
    next_run BIGINT NOT NULL,
    created BIGINT NOT NULL,
    UNIQUE (actor_name, uid)
);
CREATE INDEX schedule_next_run_idx ON schedule (next_run);
CREATE INDEX schedule_rel_idx ON schedule (rel_id);

CREATE TABLE worker (
    id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    started BIGINT NOT NULL,
    heartbeat BIGINT NOT NULL
);
