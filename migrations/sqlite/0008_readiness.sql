-- Readiness: what was measured of each copy, what drills found, and each copy's part of a job over time.

-- Single measurements, some hundred of each copy. The columns of `copies` are their summary.
CREATE TABLE copy_rates (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    volume_id BIGINT NOT NULL REFERENCES volumes (id),
    bit       BIGINT NOT NULL,
    at        DATETIME NOT NULL,
    -- job, drill or probe
    basis     TEXT NOT NULL,
    files     BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    seconds   DOUBLE PRECISION NOT NULL,
    job_id    TEXT
);
CREATE INDEX copy_rates_by_copy ON copy_rates (volume_id, bit, at);

-- What the moving average was made of.
INSERT INTO copy_rates (volume_id, bit, at, basis, files, bytes, seconds, job_id)
SELECT jobs.volume_id, copies.bit, jobs.finished_at, 'job', job_sources.files, job_sources.bytes,
       job_sources.busy_seconds, jobs.id
FROM jobs
JOIN job_sources ON job_sources.job_id = jobs.id
JOIN copies ON copies.volume_id = jobs.volume_id AND copies.name = job_sources.name
WHERE jobs.kind = 'restore' AND jobs.state = 'finished' AND jobs.finished_at IS NOT NULL
AND job_sources.busy_seconds >= 0.05;

CREATE TABLE drill_results (
    volume_id BIGINT NOT NULL REFERENCES volumes (id),
    bit       BIGINT NOT NULL,
    job_id    TEXT NOT NULL,
    at        DATETIME NOT NULL,
    verified  BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    skipped   BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    seconds   DOUBLE PRECISION NOT NULL,
    -- Why the first that failed did.
    reason    TEXT,
    PRIMARY KEY (volume_id, bit, job_id)
);

-- The copy that a segment of a drill tries.
CREATE TABLE drill_parts (
    segment_id BIGINT NOT NULL PRIMARY KEY,
    job_id     TEXT NOT NULL,
    bit        BIGINT NOT NULL
);
CREATE INDEX drill_parts_by_job ON drill_parts (job_id);

-- As job_samples, for each copy that the job reads.
CREATE TABLE job_source_samples (
    job_id         TEXT NOT NULL,
    name           TEXT NOT NULL,
    at             DATETIME NOT NULL,
    active_seconds DOUBLE PRECISION NOT NULL,
    files          BIGINT NOT NULL,
    bytes          BIGINT NOT NULL,
    PRIMARY KEY (job_id, name, at)
);
