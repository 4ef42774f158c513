// What the inbox knows of the relay's answers: the fields of PROTOCOL.md, section 8, that it shows.

export type Queue = "waiting" | "mine" | "assigned" | "resolved" | "all";
export const QUEUES: readonly Queue[] = ["waiting", "mine", "assigned", "resolved", "all"];

export type Handling = "bot" | "waiting" | "assigned" | "resolved";

export interface Holder {
  operator_id: string;
  display_name: string;
  avatar_url: string | null;
}

export interface Preview {
  id: string;
  role: string;
  content: string;
}

/** What the visitor said of a resolved conversation. */
export interface Rating {
  score: number;
  comment: string | null;
}

export interface Conversation {
  id: string;
  visitor_user_id: string;
  visitor_display_name: string | null;
  visitor_email: string | null;
  visitor_phone: string | null;
  answers_email: string | null;
  locale: string;
  handling: Handling;
  waiting_reason: string | null;
  waiting_since: string | null;
  operator: Holder | null;
  claim_count: number;
  routing_key: string | null;
  tags: string[];
  rating: Rating | null;
  snoozed_until: string | null;
  visitor_read_up_to: string | null;
  last_entry_id: string;
  last_message_at: string | null;
  created_at: string;
}

export interface Queued extends Conversation {
  last_message: Preview | null;
  unread: number;
}

export interface Citation {
  title: string;
}

export interface Opened extends Conversation {
  metadata: Record<string, unknown>;
  draft: { content: string; citations: Citation[] } | null;
  read_up_to: string | null;
}

export interface Attachment {
  name?: string;
  mime: string;
  url: string;
}

export interface Entry {
  id: string;
  role: "visitor" | "agent" | "bot" | "system";
  content: string;
  attachments: Attachment[];
  citations: Citation[];
  internal: boolean;
  operator_id: string | null;
  operator_name: string | null;
  /** What the visitor says of an answer. */
  feedback?: "asked" | "helpful" | "unhelpful";
  created_at: string;
}

export type Counts = Record<Queue, number>;

export interface Me {
  operator_id: string;
  display_name: string;
  email: string;
  routing_keys: string[];
  token_expires_at: string;
}

export interface Colleague {
  operator_id: string;
  display_name: string;
}

export interface CannedReply {
  id: string;
  shortcut: string;
  content: string;
}

/** A message that was written here and is not acknowledged yet. */
export interface Pending {
  conversation_id: string;
  client_id: string;
  content: string;
  /** `interrupted`: nothing answered, so it is sent again. `refused`: the relay or the backend does not take it. */
  state: "sending" | "interrupted" | "refused";
  /** What the refusal says. */
  why: string;
}

/** The name by which operators speak of a visitor. */
export function visitorName(conversation: Conversation, fallback: string): string {
  if (conversation.visitor_display_name) return conversation.visitor_display_name;
  if (conversation.visitor_email) return conversation.visitor_email;
  const id = conversation.visitor_user_id;
  return id.startsWith("vs_") ? `${fallback} ${id.slice(-4)}` : id;
}

/** Whether a conversation belongs to a queue, for this operator, at this time. */
export function isIn(queue: Queue, conversation: Conversation, me: string, now: number): boolean {
  const isAside = conversation.snoozed_until !== null && Date.parse(conversation.snoozed_until) > now;
  switch (queue) {
    case "waiting":
      return conversation.handling === "waiting" && !isAside;
    case "mine":
      return conversation.handling === "assigned" && conversation.operator?.operator_id === me && !isAside;
    case "assigned":
      return conversation.handling === "assigned";
    case "resolved":
      return conversation.handling === "resolved";
    case "all":
      return true;
  }
}

/** Sorts as the relay does: the longest wait first, elsewhere the newest message first. */
export function byQueue(queue: Queue): (one: Conversation, other: Conversation) => number {
  if (queue === "waiting") {
    return (one, other) => (one.waiting_since ?? "").localeCompare(other.waiting_since ?? "") || one.id.localeCompare(other.id);
  }
  return (one, other) =>
    (other.last_message_at ?? "").localeCompare(one.last_message_at ?? "") || other.id.localeCompare(one.id);
}

/** A score as stars, five in all. */
export function stars(score: number): string {
  return "★★★★★☆☆☆☆☆".slice(5 - score, 10 - score);
}

/** Fills the placeholders of a canned reply. An unknown one stays as it is. */
export function fill(template: string, values: Record<string, string>): string {
  return template.replace(/\{\{\s*(\w+)\s*\}\}/g, (whole, name: string) => (Object.hasOwn(values, name) ? values[name] : undefined) ?? whole);
}
