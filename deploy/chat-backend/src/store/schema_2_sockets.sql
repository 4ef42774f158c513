-- What visitors' sockets need: a message said twice under one id is one message, and how far a visitor has read.

ALTER TABLE message ADD COLUMN client_id TEXT;
CREATE UNIQUE INDEX message_by_client ON message (conversation_id, client_id) WHERE client_id IS NOT NULL;

ALTER TABLE conversation ADD COLUMN read_up_to TEXT;
