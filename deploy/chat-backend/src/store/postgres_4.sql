-- Where people read a document. Citations in messages keep the address that the document had then.
ALTER TABLE document ADD COLUMN url TEXT;
