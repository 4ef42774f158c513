-- What visitors choose: whether an answer helped, a quick reply, and which of their conversations they are in.

-- helpful or unhelpful. NULL where the visitor has not said.
ALTER TABLE message ADD COLUMN feedback TEXT;
-- The count of the conversation's feedback when this one was given: a socket asks for what came after the count it has told.
ALTER TABLE message ADD COLUMN feedback_number INTEGER;
-- A JSON list of texts. NULL where there are none.
ALTER TABLE message ADD COLUMN quick_replies TEXT;
CREATE INDEX message_by_feedback ON message (tenant_id, conversation_id, feedback_number) WHERE feedback_number IS NOT NULL;

ALTER TABLE conversation ADD COLUMN feedback_count INTEGER NOT NULL DEFAULT 0;
-- The conversation to which the visitor turned from this one. NULL where the visitor has not turned away from this one.
ALTER TABLE conversation ADD COLUMN left_for TEXT;
CREATE INDEX conversation_by_visitors_choice ON conversation (tenant_id, visitor_user_id, id) WHERE left_for IS NULL;
-- How long the visitor last waited for a person, and until when: the next visitors are told what to expect.
ALTER TABLE conversation ADD COLUMN waited_ms INTEGER;
ALTER TABLE conversation ADD COLUMN waited_until INTEGER;
CREATE INDEX conversation_by_waited ON conversation (tenant_id, coalesce(routing_key, ''), waited_until)
    WHERE waited_until IS NOT NULL;
