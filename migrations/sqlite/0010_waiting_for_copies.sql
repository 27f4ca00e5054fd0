-- Segments whose files wait for a copy that is away: what holds them up, and when they are tried again, as of jobs.
ALTER TABLE segments ADD COLUMN stuck TEXT;
ALTER TABLE segments ADD COLUMN tries_again_at DATETIME;
