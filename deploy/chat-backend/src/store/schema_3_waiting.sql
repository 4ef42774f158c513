-- Why a person is awaited, which says whether the bot goes on answering meanwhile: low_confidence (it does), user_request,
-- human_mode or contact_form (it does not). NULL where nobody is awaited.

ALTER TABLE conversation ADD COLUMN waiting_reason TEXT;

CREATE INDEX ticket_by_conversation ON ticket (conversation_id, id);

-- What waits already: its newest ticket says why, and without a ticket it began with a person.
UPDATE conversation SET waiting_reason = coalesce((
    SELECT CASE
        WHEN ticket.tags LIKE '%"low_confidence"%' THEN 'low_confidence'
        WHEN ticket.tags LIKE '%"user_request"%' THEN 'user_request'
        WHEN ticket.tags LIKE '%"contact_form"%' THEN 'contact_form'
    END
    FROM ticket WHERE ticket.conversation_id = conversation.id AND ticket.tenant_id = conversation.tenant_id
    ORDER BY ticket.number DESC LIMIT 1
), 'human_mode') WHERE handling = 'waiting';
