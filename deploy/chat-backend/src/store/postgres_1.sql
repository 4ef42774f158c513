-- The chat backend's tables on PostgreSQL, in a schema of their own: as SQLite's are after its step 6, which say what the columns mean.
-- Ids sort as bytes on both databases.

CREATE TABLE conversation (
    id TEXT COLLATE "C" PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    visitor_user_id TEXT NOT NULL,
    visitor_display_name TEXT,
    visitor_email TEXT,
    visitor_phone TEXT,
    locale TEXT NOT NULL,
    channel TEXT NOT NULL,
    status TEXT NOT NULL,
    handling TEXT NOT NULL,
    waiting_reason TEXT,
    metadata TEXT NOT NULL,
    read_up_to TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_message_at BIGINT,
    closed_at BIGINT,
    operator_id TEXT,
    operator_name TEXT,
    operator_avatar_url TEXT,
    claim_count INTEGER NOT NULL DEFAULT 0,
    claimed_at BIGINT,
    released_at BIGINT,
    resolved_at BIGINT,
    waiting_since BIGINT,
    mode TEXT NOT NULL DEFAULT 'bot',
    routing_key TEXT,
    tags TEXT NOT NULL DEFAULT '[]',
    snoozed_until BIGINT,
    draft TEXT,
    last_entry_id TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX conversation_by_tenant ON conversation (tenant_id, id);
CREATE INDEX conversation_by_visitor ON conversation (tenant_id, visitor_user_id, id);
CREATE INDEX conversation_by_handling ON conversation (tenant_id, handling, last_message_at);

CREATE TABLE message (
    id TEXT COLLATE "C" PRIMARY KEY,
    conversation_id TEXT COLLATE "C" NOT NULL REFERENCES conversation (id),
    tenant_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    attachments TEXT NOT NULL,
    citations TEXT NOT NULL,
    confidence DOUBLE PRECISION,
    created_at BIGINT NOT NULL,
    client_id TEXT,
    operator_id TEXT,
    in_reply_to TEXT COLLATE "C"
);
CREATE INDEX message_by_conversation ON message (conversation_id, id);
CREATE UNIQUE INDEX message_by_client ON message (conversation_id, client_id) WHERE client_id IS NOT NULL;
CREATE UNIQUE INDEX message_by_question ON message (conversation_id, in_reply_to) WHERE in_reply_to IS NOT NULL;

CREATE TABLE note (
    id TEXT COLLATE "C" PRIMARY KEY,
    conversation_id TEXT COLLATE "C" NOT NULL REFERENCES conversation (id),
    tenant_id TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    operator_name TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX note_by_conversation ON note (conversation_id, id);

CREATE TABLE operator_reading (
    conversation_id TEXT COLLATE "C" NOT NULL REFERENCES conversation (id),
    tenant_id TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    read_up_to TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (conversation_id, operator_id)
);

CREATE TABLE canned_reply (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    shortcut TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, shortcut)
);

CREATE TABLE ticket_counter (
    tenant_id TEXT PRIMARY KEY,
    last BIGINT NOT NULL
);

CREATE TABLE ticket (
    id TEXT COLLATE "C" PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    description TEXT NOT NULL,
    priority TEXT NOT NULL,
    status TEXT NOT NULL,
    assignee_user_id TEXT,
    sla_due_at BIGINT,
    tags TEXT NOT NULL,
    conversation_id TEXT COLLATE "C",
    escalation_id TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    resolved_at BIGINT,
    closed_at BIGINT,
    UNIQUE (tenant_id, number)
);
CREATE INDEX ticket_by_tenant ON ticket (tenant_id, id);
CREATE INDEX ticket_by_conversation ON ticket (conversation_id, id);

CREATE TABLE document (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    category TEXT NOT NULL,
    language TEXT NOT NULL,
    tags TEXT NOT NULL,
    status TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    published_at BIGINT,
    archived_at BIGINT,
    UNIQUE (tenant_id, language, title)
);

-- Stems of English words, and no list of words to leave out: the bot has a list of its own.
CREATE TEXT SEARCH DICTIONARY passage_stem (TEMPLATE = snowball, LANGUAGE = english);
CREATE TEXT SEARCH CONFIGURATION passage (PARSER = "default");
ALTER TEXT SEARCH CONFIGURATION passage
    ADD MAPPING FOR asciiword, word, numword, int, uint, float, sfloat, version WITH passage_stem;

CREATE TABLE chunk (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    document_id TEXT NOT NULL REFERENCES document (id),
    document_version BIGINT NOT NULL,
    text TEXT NOT NULL,
    -- The title's words with weight A, the passage's with weight B.
    search TSVECTOR NOT NULL
);
CREATE INDEX chunk_by_document ON chunk (document_id);
CREATE INDEX chunk_by_tenant ON chunk (tenant_id);
CREATE INDEX chunk_search ON chunk USING gin (search);

-- Ids are given in the order of insertion. Rows of one conversation are inserted under its lock, so theirs are in the order of commits.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('event', 'usage')),
    event_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    refused_reason TEXT
);
CREATE INDEX outbox_to_send ON outbox (tenant_id, id) WHERE refused_reason IS NULL;
CREATE INDEX outbox_refused ON outbox (id) WHERE refused_reason IS NOT NULL;
