// What the visitor writes, on its way to the relay: kept, sent one at a time, sent again, or marked as failed.
import { MESSAGE_CHARS } from "@chat-relay/protocol/frames";
import { clean } from "@chat-relay/protocol/untrusted";
import type { Attachment } from "@chat-relay/protocol/message";
import { randomId } from "@chat-relay/protocol/id";
import * as files from "./files";
import type { OutboxEntry } from "./outbox";
import type { Parts } from "./parts";
import type { ServerFrame } from "./protocol";
import { nextUnsent } from "./state";

export const ACK_TIMEOUT_MS = 20_000;
export const RETRY_AFTER_MS = 4000;

/** A message that got no answer this often stands in the way of the next no longer. */
const MOST_TIMEOUTS = 3;

/** The tab a message was written in has the first try at sending it. */
const OTHER_TAB_SENDS_MS = 5000;

/** Refusals that say nothing about what was refused: it is sent again. */
export const TRANSIENT_REFUSALS = ["directory_unavailable", "backend_unreachable", "rate_limited"];

/** Refusals of a frame that could not be read so far as to say which message it was. */
const UNREADABLE_FRAME = ["malformed_json", "validation_failed", "body_too_large"];

export function load(p: Parts): void {
  p.apply({ type: "queued", entries: p.outbox.load() });
}

export function send(p: Parts, written: string): void {
  if ([...written].length > MESSAGE_CHARS) return;
  const attachments = files.take(p);
  // A message has words: those of a file that is sent without any are its name.
  queue(p, clean(written || attachments.map(({ name = "file" }) => name).join(", ")), attachments);
}

/** Sends a text that is ready-made. What the visitor writes, and the files in hand, wait. */
export function say(p: Parts, content: string): void {
  queue(p, content, []);
}

function queue(p: Parts, content: string, attachments: readonly Attachment[]): void {
  if (content === "") return;
  const { conversationId } = p.state;
  const entry = { clientId: randomId(), content, attachments, createdAt: new Date().toISOString(), conversationId, failure: null };
  keep(p, entry);
  p.patch({ typingSentAt: 0 });
  pump(p);
}

function keep(p: Parts, entry: OutboxEntry): void {
  p.outbox.save(entry);
  p.apply({ type: "queued", entries: [entry] });
}

export function retry(p: Parts, clientId: string): void {
  p.patch({ unanswered: { ...p.state.unanswered, [clientId]: 0 } });
  fail(p, clientId, null);
  pump(p);
}

export function discard(p: Parts, clientId: string): void {
  p.outbox.remove(clientId);
  p.apply({ type: "discarded", clientId });
}

/** Sends the oldest unsent message, one at a time: so they arrive in the order they were written. */
export function pump(p: Parts): void {
  const { inFlight, blocked, heldUntil } = p.state;
  const next = nextUnsent(p.state);
  if (!next || inFlight !== null || blocked) return;
  if (p.connection.state === "idle" || p.connection.state === "asleep") p.connection.connect();
  const wait = heldUntil - Date.now();
  if (wait > 0) {
    p.timers.after("held", wait, () => pump(p));
    return;
  }
  const { clientId, content, attachments } = next;
  const conversationId = next.conversationId ?? p.state.conversationId;
  // Another tab may turn to another conversation: what was written in this one stays in it, also when it is sent again.
  const place = conversationId === null ? {} : { conversation_id: conversationId };
  if (!p.connection.send({ type: "message", client_id: clientId, content, attachments: [...attachments], ...place })) return;
  if (conversationId !== next.conversationId) keep(p, { ...next, conversationId });
  p.patch({ inFlight: clientId });
  p.timers.after("ack", ACK_TIMEOUT_MS, () => unanswered(p, clientId));
}

/** After the reducer: the relay keeps the message. */
export function acknowledged(p: Parts, clientId: string): void {
  settled(p);
  p.outbox.remove(clientId);
  pump(p);
}

export function refused(p: Parts, { code, clientId, retryAfterMs }: Extract<ServerFrame, { type: "error" }>): void {
  const refused = clientId ?? (UNREADABLE_FRAME.includes(code) ? p.state.inFlight : null);
  if (refused === null) return;
  if (refused === p.state.inFlight) p.patch({ inFlight: null });
  settled(p);
  const isTransient = retryAfterMs !== null || TRANSIENT_REFUSALS.includes(code);
  if (isTransient) p.patch({ heldUntil: Date.now() + (retryAfterMs ?? RETRY_AFTER_MS) });
  else fail(p, refused, code);
  pump(p);
}

/** The frame in flight was too large for the relay. */
export function tooLarge(p: Parts): void {
  const { inFlight } = p.state;
  if (inFlight !== null) fail(p, inFlight, "too_long");
}

/** Another tab has written this entry, or removed it. */
export function otherTabWrote(p: Parts, clientId: string, mayConnect: boolean): void {
  if (clientId === p.state.inFlight) return;
  const entries = p.outbox.read(clientId);
  p.apply(entries.length > 0 ? { type: "queued", entries } : { type: "discarded", clientId });
  // That tab may be closed before it has sent the entry. If both tabs send it, the relay takes it once.
  if (mayConnect && nextUnsent(p.state)) p.timers.after("unsent", OTHER_TAB_SENDS_MS, () => pump(p));
}

/** Stops to wait for an answer, unless another message has been sent. */
function settled(p: Parts): void {
  if (p.state.inFlight === null) p.timers.stop("ack");
}

function unanswered(p: Parts, clientId: string): void {
  const times = (p.state.unanswered[clientId] ?? 0) + 1;
  p.patch({ unanswered: { ...p.state.unanswered, [clientId]: times } });
  if (times >= MOST_TIMEOUTS) fail(p, clientId, "unanswered");
  p.connection.recycle();
}

function fail(p: Parts, clientId: string, failure: string | null): void {
  p.apply({ type: "failed", clientId, failure });
  const entry = p.state.outbox.find((other) => other.clientId === clientId);
  if (entry) p.outbox.save(entry);
}
