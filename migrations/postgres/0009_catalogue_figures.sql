-- How much each volume's catalogue has, tombstones left out, by which copies hold it: kept in the transactions that change
-- the catalogue, so that nobody has to count a million rows to show a page.
CREATE TABLE catalogue_figures (
    volume_id BIGINT NOT NULL,
    -- As in `files`.
    holders   BIGINT NOT NULL,
    files     BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    PRIMARY KEY (volume_id, holders)
);
INSERT INTO catalogue_figures (volume_id, holders, files, bytes)
SELECT volume_id, holders, count(*), CAST(sum(size) AS BIGINT) FROM files WHERE state <> 3 GROUP BY volume_id, holders;

-- A job of many files forgets its items that are done; so do those that ended before this version.
DELETE FROM items WHERE state = 1 AND segment_id IN
    (SELECT segments.id FROM segments JOIN jobs ON jobs.id = segments.job_id
     WHERE segments.state = 'done' AND jobs.ticket IS NULL AND jobs.files_total > 5000);
