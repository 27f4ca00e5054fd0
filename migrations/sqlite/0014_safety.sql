-- Safety mode: incidents drafted by a trip, and what webhooks are told of it.

-- Written by Salvor for an operator to publish; nobody else sees it.
ALTER TABLE incidents ADD COLUMN draft BOOLEAN NOT NULL DEFAULT FALSE;

-- One message to one webhook, written in the transaction of what it tells.
CREATE TABLE deliveries (
    -- In their order: of one subject a webhook is told in it.
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- What the receiver knows a repetition by.
    message_id TEXT NOT NULL UNIQUE,
    url        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL,
    -- waiting, delivered or dead
    state      TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    -- A server tries it just now; another may when it is due.
    leased     BOOLEAN NOT NULL,
    due_at     DATETIME NOT NULL,
    created_at DATETIME NOT NULL,
    settled_at DATETIME,
    -- Why the last try failed.
    last_error TEXT
);
CREATE INDEX deliveries_by_state ON deliveries (state, due_at);
