-- The resolution that a rating is of, by its time: a conversation that is resolved again may be rated again.
ALTER TABLE conversation ADD COLUMN rated_resolved_at INTEGER;

-- The pages of the queue that waits, and the counts of all queues: neither may read every conversation's row.
CREATE INDEX conversation_by_wait ON conversation (tenant_id, waiting_since, id) WHERE handling = 'waiting';
CREATE INDEX conversation_by_holder ON conversation (tenant_id, handling, operator_id, snoozed_until, routing_key)
    WHERE last_message_at IS NOT NULL;
