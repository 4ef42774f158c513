-- A person who answers takes the conversation's waiting tickets over. Earlier builds set the conversation to assigned, and left
-- its tickets as they were.

UPDATE ticket SET status = 'assigned', updated_at = unixepoch() * 1000
WHERE status IN ('open', 'triaged', 'reopened') AND EXISTS (
    SELECT 1 FROM conversation
    WHERE conversation.id = ticket.conversation_id AND conversation.tenant_id = ticket.tenant_id
        AND conversation.handling = 'assigned'
);
