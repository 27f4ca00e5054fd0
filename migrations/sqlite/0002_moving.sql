-- Bytes of a segment that have moved and are not recorded as done yet, as its holder told last; they count only while
-- `moving_by` is the worker that holds the lease.
ALTER TABLE segments ADD COLUMN moving_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN moving_by TEXT;
