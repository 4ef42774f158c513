-- Files that visitors and operators have sent. Their bytes are in the object store.
CREATE TABLE file (
    tenant_id TEXT NOT NULL,
    -- Random: whoever knows the file's address may read it.
    id TEXT NOT NULL,
    -- The actor that sent it: visitor:<session> or operator:<id>.
    uploader TEXT NOT NULL,
    -- image, audio, video or file.
    kind TEXT NOT NULL,
    -- The media type that was declared.
    mime TEXT NOT NULL,
    -- What browsers may be told that it is. NULL until all of its bytes are there.
    shown_as TEXT,
    size BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- The message that names it. NULL while none does: then it goes after a day.
    message_id TEXT,
    created_at BIGINT NOT NULL,
    -- Since when nobody reads or names it: its bytes are about to go.
    deleted_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX file_unused ON file (created_at, id) WHERE message_id IS NULL;
CREATE INDEX file_deleted ON file (deleted_at) WHERE deleted_at IS NOT NULL;

-- Bytes of all files of a tenant, those included that are arriving.
CREATE TABLE file_usage (
    tenant_id TEXT PRIMARY KEY,
    bytes BIGINT NOT NULL
);
