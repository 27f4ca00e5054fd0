-- Storage health: hosts, what was read of them last and how that holds, changes of level, figures over time.

CREATE TABLE hosts (
    name        TEXT NOT NULL PRIMARY KEY,
    version     TEXT NOT NULL,
    -- The API token that its agent reports with; absent where a server reads its own host.
    token       TEXT,
    -- By the server's clock.
    reported_at DATETIME NOT NULL,
    -- Since when it is recorded as silent.
    silent_at   DATETIME,
    -- Its tree, written when it changes.
    nodes       TEXT NOT NULL
);

CREATE TABLE signals (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    host         TEXT NOT NULL,
    probe        TEXT NOT NULL,
    subject      TEXT NOT NULL,
    first_at     DATETIME NOT NULL,
    read_at      DATETIME NOT NULL,
    -- Since when no report has it any more.
    gone_at      DATETIME,
    reason       TEXT NOT NULL,
    facts        TEXT NOT NULL,
    stops_writes BOOLEAN NOT NULL,
    standing     TEXT NOT NULL,
    -- Names of the volumes that lie on its subject themselves, and of those with a copy there: as of the last report that had it.
    volumes      TEXT NOT NULL,
    copies_of    TEXT NOT NULL,
    muted        TEXT,
    UNIQUE (host, probe, subject)
);

CREATE TABLE signal_changes (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    signal_id  BIGINT NOT NULL REFERENCES signals (id) ON DELETE CASCADE,
    at         DATETIME NOT NULL,
    from_level TEXT,
    to_level   TEXT NOT NULL,
    reason     TEXT NOT NULL
);
CREATE INDEX signal_changes_by_signal ON signal_changes (signal_id, id);

-- A ring for each figure and step: `slot` is the bucket's number modulo how many are kept, so that a new bucket takes the place of
-- the oldest and nothing has to be cleared away.
CREATE TABLE signal_points (
    signal_id    BIGINT NOT NULL REFERENCES signals (id) ON DELETE CASCADE,
    fact         TEXT NOT NULL,
    step_seconds BIGINT NOT NULL,
    slot         BIGINT NOT NULL,
    -- Its start, in seconds since 1970.
    starts       BIGINT NOT NULL,
    low          REAL NOT NULL,
    mean         REAL NOT NULL,
    high         REAL NOT NULL,
    readings     BIGINT NOT NULL,
    PRIMARY KEY (signal_id, fact, step_seconds, slot)
) WITHOUT ROWID;
