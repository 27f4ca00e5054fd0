-- Full disk checks: how far the tool of a job is, how it ended, and what it said.

CREATE TABLE disk_checks (
    job_id        TEXT NOT NULL PRIMARY KEY,
    tool          TEXT NOT NULL,
    -- As it is run, for people.
    command       TEXT NOT NULL,
    device        TEXT NOT NULL,
    can_pause     BOOLEAN NOT NULL,
    -- When its first run began; when it started over, that one.
    began_at      TIMESTAMPTZ,
    -- Runs so far; 0 before the first.
    round         BIGINT NOT NULL,
    pass          BIGINT,
    percent       DOUBLE PRECISION,
    -- The process, and when it was started in ticks since the machine was: together they name one process.
    pid           BIGINT,
    pid_ticks     BIGINT,
    exit_code     BIGINT,
    verdict       TEXT,
    summary       TEXT,
    tally         JSONB NOT NULL,
    -- Bytes that it read and wrote, and when that or its use of the processor last grew.
    read_bytes    BIGINT NOT NULL,
    written_bytes BIGINT NOT NULL,
    last_io_at    TIMESTAMPTZ,
    last_work_at  TIMESTAMPTZ,
    -- Lines of output, those that are not kept included.
    lines         BIGINT NOT NULL
);

-- The first and the last some thousand lines of each.
CREATE TABLE disk_check_lines (
    job_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    at     TIMESTAMPTZ NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
);
