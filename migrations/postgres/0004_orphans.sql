-- Reunite: which nameless file has the bytes of an item, so that it can be moved there instead of read from a copy.

-- `folder`: 0 the volume's lost+found, 1 its file system's, from 2 on those that were asked for. `orphan` is its path there
-- and `stamp` the state in which it was read. `twin`: the orphan itself goes to that path, and this one gets a copy.
CREATE TABLE orphans (
    job_id TEXT NOT NULL,
    path   BYTEA NOT NULL,
    folder BIGINT NOT NULL,
    orphan BYTEA NOT NULL,
    stamp  BIGINT NOT NULL,
    twin   BYTEA,
    PRIMARY KEY (job_id, path)
);
