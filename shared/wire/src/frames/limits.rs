//! Every limit of a socket's frames, and the limits of the signed lane that differ from them.
//!
//! A limit that is changed here changes at the gateway, at the reference chat backend and, by the generated TypeScript, in the
//! widget. PROTOCOL.md, sections 4.8 and 5, gives the same numbers to people who write clients and backends.

/// Characters of a visitor's message.
pub const MESSAGE_CHARS: usize = 4000;

/// Attachments of a visitor's message.
pub const MESSAGE_ATTACHMENTS: usize = 10;

/// Characters of a message that comes by a signed call (`add/message`, `create/contact-ticket`).
pub const SIGNED_MESSAGE_CHARS: usize = 8000;

/// Attachments of a message that comes by a signed call (`add/message`).
pub const SIGNED_MESSAGE_ATTACHMENTS: usize = 20;

/// Characters of a message's id in `read`, `resume` and `history`. The reference backend's ids are UUIDs; other backends may have longer ones.
pub const MESSAGE_ID_CHARS: usize = 64;

/// Characters of a conversation's id in an operator's frame. The reference backend's ids are UUIDs; other backends may have longer ones.
pub const CONVERSATION_ID_CHARS: usize = 64;

/// Characters of a `client_id` that the gateway reads before it checks that they are a UUID.
pub const CLIENT_ID_CHARS: usize = 64;

/// The best score of a rating. The worst is 1.
pub const RATING_SCORE: u8 = 5;

/// Characters of what a visitor says with a rating.
pub const RATING_COMMENT_CHARS: usize = 500;

/// Quick replies of a message.
pub const QUICK_REPLIES: usize = 5;

/// Characters of a quick reply: it must fit on a button.
pub const QUICK_REPLY_CHARS: usize = 80;

/// Conversations in the visitor's list.
pub const LISTED_CONVERSATIONS: usize = 30;

/// Characters of a conversation's newest message in the visitor's list.
pub const PREVIEW_CHARS: usize = 120;

/// Characters of an e-mail address: RFC 5321 allows no longer one.
pub const EMAIL_CHARS: usize = 254;

/// Bytes of a visitor's frame, unless the gateway's setting `socket_frame_bytes` says otherwise.
pub const CLIENT_FRAME_BYTES: usize = 64 * 1024;

/// Bytes of a frame that the reference chat backend reads. It must be more than gateways let through.
pub const BACKEND_READS_BYTES: usize = 256 * 1024;

/// Bytes of a chat backend's frame. The gateway closes the socket of a backend that sends more.
pub const SERVER_FRAME_BYTES: usize = 1024 * 1024;

/// Messages in `welcome`. A shorter history is the whole conversation, unless `complete` says otherwise.
pub const WELCOME_MESSAGES: usize = 50;

/// Messages in one answer to `history`.
pub const HISTORY_MESSAGES: u8 = 50;

/// Bytes of the messages in `welcome`, and in one answer to `history`. Fifty of the longest messages are more, so the oldest of them are
/// left out.
pub const HISTORY_BYTES: usize = 256 * 1024;

/// Bytes of the metadata with which a page begins a session.
pub const SESSION_METADATA_BYTES: usize = 4 * 1024;

/// Bytes of the metadata that a conversation keeps.
pub const CONVERSATION_METADATA_BYTES: usize = 16 * 1024;

/// Characters of a locale.
pub const LOCALE_CHARS: usize = 35;

/// Characters of a tenant's own name for a visitor.
pub const VISITOR_USER_ID_CHARS: usize = 255;

/// Characters of the name by which a page calls its visitor.
pub const VISITOR_NAME_CHARS: usize = 200;

/// Characters of a session's `routing_key`.
pub const ROUTING_KEY_CHARS: usize = 100;

/// Characters of `origin`, `bot_id` and `routing_key` in `hello`, as the reference backend reads them: an origin is the longest.
pub const HELLO_TEXT_CHARS: usize = 320;

/// Characters of an attachment's `type`.
pub const ATTACHMENT_TYPE_CHARS: usize = 50;

/// Characters of an attachment's `mime`.
pub const ATTACHMENT_MIME_CHARS: usize = 255;

/// Characters of an attachment's `name`.
pub const ATTACHMENT_NAME_CHARS: usize = 255;

/// Characters of an attachment's `url`.
pub const ATTACHMENT_URL_CHARS: usize = 2048;

/// Characters of the address of a cited document.
pub const CITATION_URL_CHARS: usize = 2048;

/// Bytes of an attached file: some readers of JSON round a larger number.
pub const ATTACHMENT_SIZE: u64 = (1 << 53) - 1;

const _: () = {
    assert!(MESSAGE_CHARS <= SIGNED_MESSAGE_CHARS && MESSAGE_ATTACHMENTS <= SIGNED_MESSAGE_ATTACHMENTS);
    assert!(
        CLIENT_FRAME_BYTES < BACKEND_READS_BYTES,
        "the chat backend reads every frame that the gateway lets through"
    );
    assert!(HISTORY_BYTES < SERVER_FRAME_BYTES, "a full history passes the gateway");
    assert!(SESSION_METADATA_BYTES <= CONVERSATION_METADATA_BYTES, "a conversation keeps its session's metadata");
};
