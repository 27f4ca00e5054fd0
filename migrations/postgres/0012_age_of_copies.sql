-- How old a copy is.

-- Files that the last protect could not bring to it.
ALTER TABLE copies ADD COLUMN protected_except BIGINT NOT NULL DEFAULT 0;
-- Of a copy that another tool makes: when Salvor last listed it to adopt it, and when what it listed was taken, where
-- the copy says so.
ALTER TABLE copies ADD COLUMN adopted_at TIMESTAMPTZ;
ALTER TABLE copies ADD COLUMN taken_at TIMESTAMPTZ;
