-- Agents that work for jobs, and when they were last seen connected to any process.

CREATE TABLE agents (
    host    TEXT NOT NULL PRIMARY KEY,
    -- Those of its own configuration, with what checks their disks.
    volumes JSONB NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL
);
