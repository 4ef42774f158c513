// Made from shared/wire/src/frames: edit that. `UPDATE_OPENAPI=1 cargo test -p wire typescript` writes this file.

export const MESSAGE_CHARS = 4000;
export const MESSAGE_ATTACHMENTS = 10;
export const MESSAGE_ID_CHARS = 64;
export const QUICK_REPLIES = 5;
export const QUICK_REPLY_CHARS = 80;
export const CLIENT_FRAME_BYTES = 65536;
export const WELCOME_MESSAGES = 50;
export const ROUTING_KEY_CHARS = 100;
export const VISITOR_NAME_CHARS = 200;
export const RATING_COMMENT_CHARS = 500;
export const EMAIL_CHARS = 254;
export const HISTORY_MESSAGES = 50;
export const RATING_SCORE = 5;

export type Role = "visitor" | "agent" | "bot" | "system";
export const ROLES: readonly Role[] = ["visitor", "agent", "bot", "system"];

export type ConversationStatus = "bot" | "waiting" | "assigned" | "resolved";
export const STATUSES: readonly ConversationStatus[] = ["bot", "waiting", "assigned", "resolved"];

export type Feedback = "asked" | "helpful" | "unhelpful";
export const FEEDBACKS: readonly Feedback[] = ["asked", "helpful", "unhelpful"];

export type Attachment = {
  /** `image`, `audio`, `video` or `file`. */
  type: string,
  /** The media type, such as `image/png`. */
  mime: string,
  /** Bytes. */
  size: number,
  /** Where the file is: http or https. */
  url: string,
  /** The file's name, for people. */
  name?: string,
};

export type Citation = {
  /** The passage. */
  chunk_id: string,
  /** The document that holds the passage. */
  document_id: string,
  /** The title of the document, as people know it.
 *
 * Empty in citations that earlier builds of the reference backend kept. */
  title: string,
  /** Where people read the document: http or https. */
  url?: string,
  /** The document's version. */
  document_version: number,
  /** The share of the question's words that the passage holds, 0 to 1. */
  score: number,
};

export type Message = {
  /** Ids sort by time. */
  id: string,
  /** Who wrote it. */
  role: Role,
  /** What was said. */
  content: string,
  /** What a bot's answer was taken from. */
  citations: Array<Citation>,
  /** Files that go with it. */
  attachments: Array<Attachment>,
  /** What the client called it, if a client sent it. */
  client_id?: string,
  /** Whether it helped, as the visitor says. It is left out where the visitor is not asked. */
  feedback?: Feedback,
  /** What the visitor may answer by a click. */
  quick_replies?: Array<string>,
  /** RFC 3339, in UTC, to the millisecond. */
  created_at: string,
};

export type Operator = {
  /** The person's name for visitors. */
  display_name: string | null,
  /** The person's picture. */
  avatar_url: string | null,
};

export type Rating = {
  /** From 1, the worst, to 5. */
  score: number,
  /** What the visitor says of it. */
  comment: string | null,
  /** RFC 3339, in UTC, to the millisecond. */
  rated_at: string,
};

export type ConversationSummary = {
  /** The conversation. */
  conversation_id: string,
  /** Who answers. */
  status: ConversationStatus,
  /** The beginning of its newest message; empty where that has no words. */
  preview: string,
  /** When the newest message was said: RFC 3339, in UTC, to the millisecond. */
  last_message_at: string,
  /** Whether something was said since the visitor last read or wrote. */
  unread: boolean,
};

export type ClientFrame =
  | { "type": "message",
  /** The client's own id of the message: a UUID, spelt as the client spelt it. The same id again is the same message. */
  client_id: string,
  /** What the visitor says. */
  content: string,
  /** Files that go with it. */
  attachments: Array<Attachment>,
  /** The conversation in which it was written. Left out, or not the visitor's, it is said in the one that the visitor is in. */
  conversation_id?: string,
}
  | { "type": "typing" }
  | { "type": "read",
  /** The message's id. */
  message_id: string,
}
  | { "type": "resume",
  /** The id of the last message that the client has. */
  after: string,
}
  | { "type": "history",
  /** The id of that message. */
  before: string,
  /** Messages at most: 1 to 50. */
  limit: number,
}
  | { "type": "rate",
  /** The client's own id of the frame: a UUID, which an `error` repeats. */
  client_id: string,
  /** From 1, the worst, to 5. */
  score: number,
  /** What the visitor says of it. */
  comment: string | null,
}
  | { "type": "leave_email",
  /** The client's own id of the frame: a UUID, which an `error` repeats. */
  client_id: string,
  /** One address. */
  email: string,
}
  | { "type": "feedback",
  /** The client's own id of the frame: a UUID, which an `error` repeats. */
  client_id: string,
  /** The answer's id. */
  message_id: string,
  /** `helpful` or `unhelpful`. */
  feedback: Feedback,
}
  | { "type": "conversations" }
  | { "type": "open_conversation",
  /** The client's own id of the frame: a UUID, which the `welcome` or the `error` that answers it repeats. */
  client_id: string,
  /** One of `conversations`; null for a new one. */
  conversation_id: string | null,
};

export type ServerFrame =
  | { "type": "welcome",
  /** The `client_id` of the `open_conversation` that this answers. */
  client_id?: string,
  /** The visitor's session. */
  session_id: string,
  /** Null if the first message begins the conversation. */
  conversation_id: string | null,
  /** Who answers. */
  status: ConversationStatus,
  /** The person who answers. */
  operator: Operator | null,
  /** The newest messages, oldest first. */
  history: Array<Message>,
  /** Whether nothing was said before them. Chat backends that do not answer `history` leave it out. */
  complete?: boolean,
  /** The id of the last message that the visitor has read. */
  read_up_to: string | null,
  /** Whether the visitor may rate the conversation once it is resolved. Chat backends that know no ratings leave it out. */
  may_rate: boolean,
  /** What the visitor said of the conversation since it was resolved. */
  rating: Rating | null,
  /** Whether the visitor may leave an address for answers. Chat backends that send no mail leave it out. */
  may_leave_email: boolean,
  /** The address that the visitor has left. */
  email: string | null,
  /** While a person is awaited: the seconds that visitors have waited lately. It is left out where nobody knows. */
  expected_wait_s?: number,
  /** Whether `conversations` and `open_conversation` are answered. */
  may_open?: boolean,
}
  | { "type": "ack",
  /** What the client called it. */
  client_id: string,
  /** The message's id. */
  message_id: string,
  /** The conversation that it is kept in. Chat backends of a visitor's only conversation leave it out. */
  conversation_id?: string,
  /** RFC 3339, in UTC, to the millisecond. */
  created_at: string,
}
  | { "type": "message",
  /** The message. */
  message: Message,
}
  | { "type": "history",
  /** The newest of it, oldest first. */
  messages: Array<Message>,
  /** Whether nothing was said before these. */
  complete: boolean,
}
  | { "type": "typing",
  /** Who writes. */
  role: Role,
}
  | { "type": "status",
  /** Who answers. */
  status: ConversationStatus,
  /** The person who answers. */
  operator: Operator | null,
  /** As in `welcome`. */
  expected_wait_s?: number,
}
  | { "type": "feedback",
  /** The answer's id. */
  message_id: string,
  /** `helpful` or `unhelpful`. */
  feedback: Feedback,
}
  | { "type": "conversations",
  /** The newest, the one with the newest message first. */
  conversations: Array<ConversationSummary>,
}
  | { "type": "rating",
  /** The rating. */
  rating: Rating | null,
}
  | { "type": "email",
  /** The address. */
  email: string,
}
  | { "type": "config",
  /** What the widget draws itself from. PROTOCOL.md, section 5.2. */
  widget_config: Record<string, unknown>,
}
  | { "type": "error",
  /** One of the table in `deploy/docs/errors.md`. */
  error_code: string,
  /** What is wrong and what to do, for developers. */
  message: string,
  /** Which message was refused, if the refused frame named it. */
  client_id?: string,
  /** When the client may send the frame again. */
  retry_after_seconds?: number,
};
