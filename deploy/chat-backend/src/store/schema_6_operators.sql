-- What people who answer need: who has a conversation and since when, its queue, tags, notes, canned replies, and how far each operator
-- has read.

-- The operator who has the conversation. NULL where nobody has it, or a person of the tenant's own backend answers it.
ALTER TABLE conversation ADD COLUMN operator_id TEXT;
ALTER TABLE conversation ADD COLUMN operator_name TEXT;
ALTER TABLE conversation ADD COLUMN operator_avatar_url TEXT;
ALTER TABLE conversation ADD COLUMN claim_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN claimed_at INTEGER;
ALTER TABLE conversation ADD COLUMN released_at INTEGER;
ALTER TABLE conversation ADD COLUMN resolved_at INTEGER;
-- Since when a person is awaited. NULL where nobody is.
ALTER TABLE conversation ADD COLUMN waiting_since INTEGER;
-- Who answers first: bot or human.
ALTER TABLE conversation ADD COLUMN mode TEXT NOT NULL DEFAULT 'bot';
-- The queue.
ALTER TABLE conversation ADD COLUMN routing_key TEXT;
-- A JSON list of texts.
ALTER TABLE conversation ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE conversation ADD COLUMN snoozed_until INTEGER;
-- What the bot was about to say when a person took over: a JSON object with content and citations.
ALTER TABLE conversation ADD COLUMN draft TEXT;
-- The newest message or note: the next id is greater.
ALTER TABLE conversation ADD COLUMN last_entry_id TEXT NOT NULL DEFAULT '';

UPDATE conversation SET
    waiting_since = CASE WHEN handling = 'waiting' THEN coalesce(last_message_at, created_at) END,
    mode = CASE WHEN waiting_reason = 'human_mode' THEN 'human' ELSE 'bot' END,
    routing_key = CASE WHEN json_type(metadata, '$.routing_key') = 'text' THEN json_extract(metadata, '$.routing_key') END,
    last_entry_id = coalesce((SELECT max(message.id) FROM message WHERE message.conversation_id = conversation.id), '');

CREATE INDEX conversation_by_handling ON conversation (tenant_id, handling, last_message_at);

-- Which operator wrote a message. NULL where none did.
ALTER TABLE message ADD COLUMN operator_id TEXT;
-- The visitor's message that this one of the bot's answers: each is answered once.
ALTER TABLE message ADD COLUMN in_reply_to TEXT;
CREATE UNIQUE INDEX message_by_question ON message (conversation_id, in_reply_to) WHERE in_reply_to IS NOT NULL;

-- Notes of operators among themselves. They stand in a table of their own, so that no query for a visitor or a tenant can find them.
CREATE TABLE note (
    -- In one order with the conversation's messages.
    id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversation (id),
    tenant_id TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    operator_name TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX note_by_conversation ON note (conversation_id, id);

-- How far an operator has read a conversation.
CREATE TABLE operator_reading (
    conversation_id TEXT NOT NULL REFERENCES conversation (id),
    tenant_id TEXT NOT NULL,
    operator_id TEXT NOT NULL,
    read_up_to TEXT NOT NULL,
    PRIMARY KEY (conversation_id, operator_id)
) STRICT;

CREATE TABLE canned_reply (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    shortcut TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, shortcut)
) STRICT;
