-- Jobs that are stuck for a cause that may pass: when they are tried again (for queries; the fact itself is in `state_facts`), and
-- what holds them up until something came of a try.
ALTER TABLE jobs ADD COLUMN tries_again_at TIMESTAMPTZ;
ALTER TABLE jobs ADD COLUMN stuck JSONB;
CREATE INDEX jobs_to_try_again ON jobs (tries_again_at) WHERE tries_again_at IS NOT NULL;

-- What a volume or an fs copy is known by, so that a disk that is not mounted is told from an empty one.
ALTER TABLE volumes ADD COLUMN identity JSONB;
ALTER TABLE copies ADD COLUMN identity JSONB;
