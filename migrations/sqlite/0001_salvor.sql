-- Salvor's schema on SQLite. `migrations/postgres` holds the same tables; a test compares their columns.
-- Times are UTC. Ids are UUIDv7 text. Paths are bytes, compared byte by byte on both engines.

-- accounts ---------------------------------------------------------------------------------------------------------
CREATE TABLE users (
    id            TEXT NOT NULL PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL,
    password_hash TEXT,
    created_at    DATETIME NOT NULL,
    disabled_at   DATETIME
);

-- Links that sign one user in once: the first admin's, and invitations. Only hashes are stored.
CREATE TABLE sign_in_links (
    token_hash BLOB NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    created_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    used_at    DATETIME
);

CREATE TABLE sessions (
    token_hash BLOB NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    created_at DATETIME NOT NULL,
    seen_at    DATETIME NOT NULL,
    expires_at DATETIME NOT NULL
);

CREATE TABLE api_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    role       TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    created_at DATETIME NOT NULL,
    expires_at DATETIME,
    revoked_at DATETIME,
    seen_at    DATETIME
);

-- An answer already given to an API call with an Idempotency-Key.
CREATE TABLE idempotent_answers (
    caller     TEXT NOT NULL,
    key        TEXT NOT NULL,
    status     BIGINT NOT NULL,
    body       TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    PRIMARY KEY (caller, key)
);

-- events: audit log, live feed, outbox -----------------------------------------------------------------------------
CREATE TABLE events (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      DATETIME NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    summary TEXT NOT NULL
);
CREATE INDEX events_by_subject ON events (subject, id);

-- volumes ----------------------------------------------------------------------------------------------------------
CREATE TABLE volumes (
    id                    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name                  TEXT NOT NULL UNIQUE,
    mode_state            TEXT NOT NULL,
    protected_at          DATETIME,
    checked_at            DATETIME,
    -- Start of the newest full check of everything that finished: what the gate asks for.
    full_check_started_at DATETIME
);

-- `bit` is the copy's place in `files.holders`; it stays the same for as long as the copy has its name.
CREATE TABLE copies (
    volume_id        BIGINT NOT NULL REFERENCES volumes (id),
    bit              BIGINT NOT NULL CHECK (bit BETWEEN 0 AND 61),
    name             TEXT NOT NULL,
    protected_at     DATETIME,
    -- Reading rates, a moving average over the jobs that read from it.
    measured_jobs    BIGINT NOT NULL DEFAULT 0,
    files_per_second DOUBLE PRECISION,
    bytes_per_second DOUBLE PRECISION,
    PRIMARY KEY (volume_id, bit),
    UNIQUE (volume_id, name)
);

-- The catalogue. `holders` has the bits of the copies known to hold these very bytes. `state`: 0 present, 1 missing,
-- 2 corrupt, 3 tombstone. `verified_at` in seconds since 1970: a million rows care about their width.
CREATE TABLE files (
    volume_id   BIGINT NOT NULL,
    path        BLOB NOT NULL,
    size        BIGINT NOT NULL,
    mtime_ns    BIGINT NOT NULL,
    digest      BLOB NOT NULL,
    mode        BIGINT NOT NULL,
    state       BIGINT NOT NULL,
    holders     BIGINT NOT NULL,
    verified_at BIGINT NOT NULL,
    PRIMARY KEY (volume_id, path)
) WITHOUT ROWID;

CREATE TABLE findings (
    volume_id   BIGINT NOT NULL,
    path        BLOB NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    size        BIGINT NOT NULL,
    detail      TEXT NOT NULL,
    -- The job that saw it last.
    job_id      TEXT NOT NULL,
    seen_at     DATETIME NOT NULL,
    resolved_at DATETIME,
    PRIMARY KEY (volume_id, path, kind)
) WITHOUT ROWID;
CREATE INDEX findings_by_state ON findings (volume_id, state, kind);

-- A copy that gave other bytes than the catalogue knows, or none.
CREATE TABLE copy_faults (
    volume_id BIGINT NOT NULL,
    bit       BIGINT NOT NULL,
    path      BLOB NOT NULL,
    reason    TEXT NOT NULL,
    job_id    TEXT NOT NULL,
    seen_at   DATETIME NOT NULL,
    PRIMARY KEY (volume_id, bit, path)
);

-- jobs -------------------------------------------------------------------------------------------------------------
CREATE TABLE jobs (
    id             TEXT NOT NULL PRIMARY KEY,
    volume_id      BIGINT NOT NULL REFERENCES volumes (id),
    kind           TEXT NOT NULL,
    request        TEXT NOT NULL,
    -- The word of `state_facts`, for queries.
    state          TEXT NOT NULL,
    state_facts    TEXT NOT NULL,
    -- May run as soon as its plan is ready.
    approved       BOOLEAN NOT NULL,
    dry_run        BOOLEAN NOT NULL,
    ticket         BIGINT,
    created_at     DATETIME NOT NULL,
    created_by     TEXT NOT NULL,
    started_at     DATETIME,
    finished_at    DATETIME,
    -- Active time up to `active_since`; the running stretch comes on top.
    active_seconds DOUBLE PRECISION NOT NULL DEFAULT 0,
    active_since   DATETIME,
    plan           TEXT,
    files_total    BIGINT NOT NULL DEFAULT 0,
    files_done     BIGINT NOT NULL DEFAULT 0,
    files_failed   BIGINT NOT NULL DEFAULT 0,
    files_skipped  BIGINT NOT NULL DEFAULT 0,
    bytes_total    BIGINT NOT NULL DEFAULT 0,
    bytes_done     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_state ON jobs (state);

-- The part of a job that one worker holds by lease. `kind`: plan or work. A check's segment is a range of paths; a
-- restore's or protect's holds items.
CREATE TABLE segments (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    job_id      TEXT NOT NULL REFERENCES jobs (id),
    kind        TEXT NOT NULL,
    -- Order of need: lower goes first.
    rank        BIGINT NOT NULL,
    state       TEXT NOT NULL,
    worker      TEXT,
    lease_until DATETIME,
    done_at     DATETIME,
    first_path  BLOB,
    last_path   BLOB,
    files       BIGINT NOT NULL,
    bytes       BIGINT NOT NULL
);
CREATE INDEX segments_by_job ON segments (job_id, state, rank);

-- One file to restore or protect. `state`: 0 waiting, 1 done, 2 failed, 3 skipped.
CREATE TABLE items (
    segment_id BIGINT NOT NULL,
    path       BLOB NOT NULL,
    size       BIGINT NOT NULL,
    corrupt    BOOLEAN NOT NULL,
    state      BIGINT NOT NULL,
    PRIMARY KEY (segment_id, path)
) WITHOUT ROWID;

CREATE TABLE job_sources (
    job_id       TEXT NOT NULL,
    name         TEXT NOT NULL,
    files        BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    busy_seconds DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (job_id, name)
);

CREATE TABLE job_findings (
    job_id TEXT NOT NULL,
    kind   TEXT NOT NULL,
    count  BIGINT NOT NULL,
    PRIMARY KEY (job_id, kind)
);

CREATE TABLE job_failures (
    job_id TEXT NOT NULL,
    path   BLOB NOT NULL,
    reason TEXT NOT NULL,
    at     DATETIME NOT NULL,
    PRIMARY KEY (job_id, path)
);

-- Progress over time, for the rate chart and the estimate.
CREATE TABLE job_samples (
    job_id         TEXT NOT NULL,
    at             DATETIME NOT NULL,
    active_seconds DOUBLE PRECISION NOT NULL,
    files          BIGINT NOT NULL,
    bytes          BIGINT NOT NULL,
    PRIMARY KEY (job_id, at)
);

-- incidents --------------------------------------------------------------------------------------------------------
CREATE TABLE components (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    group_name  TEXT,
    description TEXT,
    status      TEXT NOT NULL,
    position    BIGINT NOT NULL,
    created_at  DATETIME NOT NULL,
    updated_at  DATETIME NOT NULL
);

CREATE TABLE incidents (
    id              TEXT NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL,
    status          TEXT NOT NULL,
    impact          TEXT NOT NULL,
    impact_override BOOLEAN NOT NULL,
    -- The volume whose restores the public page shows with it.
    volume          TEXT,
    created_by      TEXT NOT NULL,
    created_at      DATETIME NOT NULL,
    updated_at      DATETIME NOT NULL,
    started_at      DATETIME NOT NULL,
    monitoring_at   DATETIME,
    resolved_at     DATETIME
);

CREATE TABLE incident_components (
    incident_id  TEXT NOT NULL REFERENCES incidents (id),
    component_id TEXT NOT NULL REFERENCES components (id),
    PRIMARY KEY (incident_id, component_id)
);

CREATE TABLE incident_updates (
    id          TEXT NOT NULL PRIMARY KEY,
    incident_id TEXT NOT NULL REFERENCES incidents (id),
    status      TEXT NOT NULL,
    body        TEXT NOT NULL,
    -- JSON: what changed with it, as Statuspage's affected_components.
    components  TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  DATETIME NOT NULL,
    updated_at  DATETIME NOT NULL
);
CREATE INDEX incident_updates_by_incident ON incident_updates (incident_id, id);

-- tickets ----------------------------------------------------------------------------------------------------------
CREATE TABLE tickets (
    number      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- Of the secret in the tracking link.
    secret_hash BLOB NOT NULL UNIQUE,
    email       TEXT NOT NULL,
    site        TEXT,
    note        TEXT,
    state       TEXT NOT NULL,
    state_since DATETIME NOT NULL,
    -- An operator answered since the customer's last word.
    replied     BOOLEAN NOT NULL,
    incident_id TEXT,
    created_at  DATETIME NOT NULL,
    updated_at  DATETIME NOT NULL
);
CREATE INDEX tickets_by_state ON tickets (state, number);

CREATE TABLE ticket_lines (
    ticket     BIGINT NOT NULL REFERENCES tickets (number),
    line       BIGINT NOT NULL,
    input      TEXT NOT NULL,
    volume_id  BIGINT,
    path       BLOB,
    verdict    TEXT,
    state      TEXT NOT NULL,
    detail     TEXT NOT NULL,
    job_id     TEXT,
    updated_at DATETIME NOT NULL,
    PRIMARY KEY (ticket, line)
);
CREATE INDEX ticket_lines_by_path ON ticket_lines (volume_id, path);
CREATE INDEX ticket_lines_by_state ON ticket_lines (state);

CREATE TABLE ticket_messages (
    id     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    ticket BIGINT NOT NULL REFERENCES tickets (number),
    at     DATETIME NOT NULL,
    -- customer, salvor, or an operator's address.
    author TEXT NOT NULL,
    -- Internal notes are for operators only.
    public BOOLEAN NOT NULL,
    body   TEXT NOT NULL
);
CREATE INDEX ticket_messages_by_ticket ON ticket_messages (ticket, id);
