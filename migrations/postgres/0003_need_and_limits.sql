-- Order of need: lanes by copy, and limits that change while jobs run.

-- The copy that a segment's files will be read from, by its bit; none for a plan, and for work that reads the volume.
ALTER TABLE segments ADD COLUMN source_bit BIGINT;
-- The process whose worker holds it: those that read one copy share its limit.
ALTER TABLE segments ADD COLUMN process TEXT;
-- JSON: what the job keeps within.
ALTER TABLE jobs ADD COLUMN limits JSONB;
-- JSON: an operator's word over the configuration's limit; without one the configuration holds.
ALTER TABLE copies ADD COLUMN limits JSONB;

-- A worker asks twice a second which copies have waiting segments, and what is needed most: the index answers alone.
DROP INDEX segments_by_job;
CREATE INDEX segments_by_need ON segments (job_id, kind, state, source_bit, rank, lease_until);
