-- What the admin service must still be told: events for the tenant, and messages that count towards its quota. A row is written in
-- the transaction of what it tells of, and deleted once the admin service has it.

CREATE TABLE outbox (
    -- The order of commits, since SQLite has one writer. AUTOINCREMENT: the number of a deleted row must not come again.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('event', 'usage')),
    -- The event's id; for usage, the message's.
    event_id TEXT NOT NULL,
    -- The JSON object that is sent.
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Why the admin service refused the row. Such a row is not sent again.
    refused_reason TEXT
) STRICT;
CREATE INDEX outbox_to_send ON outbox (tenant_id, id) WHERE refused_reason IS NULL;
CREATE INDEX outbox_refused ON outbox (id) WHERE refused_reason IS NOT NULL;
