// A message and a person, as a client of the relay shows them: made from untrusted JSON.
import { FEEDBACKS, QUICK_REPLIES, QUICK_REPLY_CHARS, RATING_SCORE, ROLES, STATUSES } from "./frames";
import type * as wire from "./frames";
import { known, list, moment, record, text, webUrl } from "./untrusted";

export interface Message {
  readonly id: string;
  readonly role: wire.Role;
  readonly content: string;
  readonly createdAt: string;
  readonly attachments: readonly Attachment[];
  /** The documents it cites, each once. */
  readonly sources: readonly Source[];
  /** The `client_id` it was sent with, where a widget sent it. */
  readonly clientId: string | null;
  /** What the visitor says of it; `null` where nobody is asked. */
  readonly feedback: wire.Feedback | null;
  /** What the visitor may answer by a click. */
  readonly quickReplies: readonly string[];
}

export type Attachment = wire.Attachment;

export interface Source {
  readonly title: string;
  readonly url: string | null;
}

export interface Operator {
  readonly displayName: string | null;
  readonly avatarUrl: string | null;
}

export interface Rating {
  readonly score: number;
  readonly comment: string | null;
}

export function parseRating(value: unknown): Rating | null {
  const json = record<wire.Rating>(value);
  const { score } = json;
  return typeof score === "number" && score >= 1 && score <= RATING_SCORE ? { score, comment: text(json.comment) } : null;
}

export function role(value: unknown): wire.Role | null {
  return ROLES.find((role) => role === value) ?? null;
}

export function status(value: unknown): wire.ConversationStatus {
  return STATUSES.find((status) => status === value) ?? "bot";
}

export function feedback(value: unknown): wire.Feedback | null {
  return FEEDBACKS.find((feedback) => feedback === value) ?? null;
}

export function parseMessage(value: unknown): Message | null {
  const json = record<wire.Message>(value);
  const id = text(json.id);
  const from = role(json.role);
  if (id === null || from === null) return null;
  return {
    id,
    role: from,
    content: text(json.content) ?? "",
    createdAt: moment(json.created_at),
    attachments: parseAttachments(json.attachments),
    sources: sources(json.citations),
    clientId: text(json.client_id),
    feedback: feedback(json.feedback),
    quickReplies: known(list(json.quick_replies).map(text))
      .filter((reply) => [...reply].length <= QUICK_REPLY_CHARS)
      .slice(0, QUICK_REPLIES),
  };
}

/** The files of a message, without those that no browser should open. */
export function parseAttachments(value: unknown): Attachment[] {
  return known(
    list(value).map((attachment) => {
      const json = record<wire.Attachment>(attachment);
      const url = webUrl(json.url);
      const mime = text(json.mime);
      if (url === null || mime === null) return null;
      const size = typeof json.size === "number" ? json.size : 0;
      const name = text(json.name);
      return { type: text(json.type) ?? "file", mime, size, url, ...(name === null ? {} : { name }) };
    }),
  );
}

/** Several passages of one document are one source. */
function sources(citations: unknown): Source[] {
  const made = new Map<string, Source>();
  for (const citation of list(citations)) {
    const json = record<wire.Citation>(citation);
    const title = text(json.title);
    const url = webUrl(json.url);
    if (title !== null) made.set(`${title} ${url}`, { title, url });
  }
  return [...made.values()];
}

export function parseOperator(value: unknown): Operator | null {
  if (typeof value !== "object" || value === null) return null;
  const json = record<wire.Operator>(value);
  return { displayName: text(json.display_name), avatarUrl: webUrl(json.avatar_url) };
}
