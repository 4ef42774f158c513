-- What a visitor says of a resolved conversation, and where and how far answers were mailed to visitors who were away.

-- From 1 to 5. NULL where the visitor has not rated it.
ALTER TABLE conversation ADD COLUMN rating_score INTEGER;
ALTER TABLE conversation ADD COLUMN rating_comment TEXT;
ALTER TABLE conversation ADD COLUMN rated_at BIGINT;

-- The address that the visitor left for answers. Nobody has checked that it is the visitor's.
ALTER TABLE conversation ADD COLUMN answers_email TEXT;
-- When the mailer looks at the conversation. NULL where no answer waits to be read.
ALTER TABLE conversation ADD COLUMN mail_due_at BIGINT;
-- The last message of the mail that is being sent: an attempt after a failure sends the same mail.
ALTER TABLE conversation ADD COLUMN mailing_up_to TEXT COLLATE "C";
ALTER TABLE conversation ADD COLUMN mail_attempts INTEGER NOT NULL DEFAULT 0;
-- The last message that was mailed, or that no mail could be sent for.
ALTER TABLE conversation ADD COLUMN mailed_up_to TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX conversation_by_mail ON conversation (mail_due_at) WHERE mail_due_at IS NOT NULL;
