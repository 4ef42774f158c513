-- The chat backend's tables. Times are Unix milliseconds; ids are UUIDs (version 7, so they sort by time) as text.

CREATE TABLE IF NOT EXISTS conversation (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    visitor_user_id TEXT NOT NULL,
    visitor_display_name TEXT,
    visitor_email TEXT,
    visitor_phone TEXT,
    locale TEXT NOT NULL,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Who answers: bot, waiting, assigned or resolved.
    handling TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_message_at INTEGER,
    closed_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS conversation_by_tenant ON conversation (tenant_id, id);
CREATE INDEX IF NOT EXISTS conversation_by_visitor ON conversation (tenant_id, visitor_user_id, id);

CREATE TABLE IF NOT EXISTS message (
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversation (id),
    tenant_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    attachments TEXT NOT NULL,
    citations TEXT NOT NULL,
    confidence REAL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS message_by_conversation ON message (conversation_id, id);

CREATE TABLE IF NOT EXISTS ticket_counter (
    tenant_id TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS ticket (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    description TEXT NOT NULL,
    priority TEXT NOT NULL,
    status TEXT NOT NULL,
    assignee_user_id TEXT,
    sla_due_at INTEGER,
    tags TEXT NOT NULL,
    conversation_id TEXT,
    escalation_id TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    resolved_at INTEGER,
    closed_at INTEGER,
    UNIQUE (tenant_id, number)
) STRICT;
CREATE INDEX IF NOT EXISTS ticket_by_tenant ON ticket (tenant_id, id);

CREATE TABLE IF NOT EXISTS document (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    category TEXT NOT NULL,
    language TEXT NOT NULL,
    tags TEXT NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    published_at INTEGER,
    archived_at INTEGER,
    -- A document is known by its title: ingesting it again is its next version.
    UNIQUE (tenant_id, language, title)
) STRICT;

CREATE TABLE IF NOT EXISTS chunk (
    rowid INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    document_id TEXT NOT NULL REFERENCES document (id),
    document_version INTEGER NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS chunk_by_document ON chunk (document_id);

-- `tenant` is one word, so that a search can ask for one tenant's chunks in the index itself.
CREATE VIRTUAL TABLE IF NOT EXISTS chunk_search USING fts5 (
    tenant, title, text,
    tokenize = 'porter unicode61 remove_diacritics 2'
);
