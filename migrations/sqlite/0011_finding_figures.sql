-- How many findings of each kind are open, and how many files each copy gave wrongly: kept in the transactions that change them, so
-- that no page and no upload's question for the mode counts them on the day when a million files are lost.
CREATE TABLE finding_figures (
    volume_id BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    open      BIGINT NOT NULL,
    PRIMARY KEY (volume_id, kind)
) WITHOUT ROWID;
INSERT INTO finding_figures (volume_id, kind, open)
SELECT volume_id, kind, count(*) FROM findings WHERE state = 'open' GROUP BY volume_id, kind;

ALTER TABLE copies ADD COLUMN faults BIGINT NOT NULL DEFAULT 0;
UPDATE copies SET faults = (SELECT count(*) FROM copy_faults
    WHERE copy_faults.volume_id = copies.volume_id AND copy_faults.bit = copies.bit);

-- A page is read from where the one before ended, whatever else is open or long over.
DROP INDEX findings_by_state;
CREATE INDEX findings_by_state ON findings (volume_id, state, path, kind);
