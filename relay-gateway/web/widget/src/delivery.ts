// What the visitor writes, on its way to the relay: kept, sent one at a time, sent again, or marked as failed.
import { MESSAGE_CHARS } from "@chat-relay/protocol/frames";
import { clean } from "@chat-relay/protocol/untrusted";
import type { Connection } from "./connection";
import { randomId } from "./id";
import type { Model } from "./model";
import type { Outbox } from "./outbox";
import type { ServerFrame } from "./protocol";
import { nextUnsent } from "./state";
import type { Timers } from "./timers";

const ACK_TIMEOUT_MS = 20_000;
const RETRY_AFTER_MS = 4000;

/** A message that got no answer this often stands in the way of the next no longer. */
const MOST_TIMEOUTS = 3;

/** The tab a message was written in has the first try at sending it. */
const OTHER_TAB_SENDS_MS = 5000;

/** Refusals of a message that say nothing about the message: it is sent again. */
const TRANSIENT_REFUSALS = ["directory_unavailable", "backend_unreachable", "rate_limited"];

/** Refusals of a frame that could not be read so far as to say which message it was. */
const UNREADABLE_FRAME = ["malformed_json", "validation_failed", "body_too_large"];

export type Delivery = ReturnType<typeof createDelivery>;

export function createDelivery(model: Model, outbox: Outbox, connection: Connection, timers: Timers) {
  function load(): void {
    model.apply({ type: "queued", entries: outbox.load() });
  }

  function send(content: string): void {
    if (content === "" || content.length > MESSAGE_CHARS) return;
    const entry = { clientId: randomId(), content: clean(content), createdAt: new Date().toISOString(), failure: null };
    outbox.save(entry);
    model.apply({ type: "queued", entries: [entry] });
    model.patch({ typingSentAt: 0 });
    pump();
  }

  function retry(clientId: string): void {
    fail(clientId, null);
    pump();
  }

  function discard(clientId: string): void {
    outbox.remove(clientId);
    model.apply({ type: "discarded", clientId });
  }

  /** Sends the oldest unsent message, one at a time: so they arrive in the order they were written. */
  function pump(): void {
    const { inFlight, blocked, heldUntil } = model.state;
    const next = nextUnsent(model.state);
    if (!next || inFlight !== null || blocked) return;
    if (connection.state === "idle" || connection.state === "asleep") connection.connect();
    const wait = heldUntil - Date.now();
    if (wait > 0) {
      timers.after("held", wait, () => pump());
      return;
    }
    const { clientId, content } = next;
    if (!connection.send({ type: "message", client_id: clientId, content, attachments: [] })) return;
    model.apply({ type: "sent", clientId });
    timers.after("ack", ACK_TIMEOUT_MS, () => unanswered(clientId));
  }

  /** After the reducer: the relay keeps the message. */
  function acknowledged(clientId: string): void {
    settled();
    outbox.remove(clientId);
    pump();
  }

  function refused({ code, clientId, retryAfterMs }: Extract<ServerFrame, { type: "error" }>): void {
    const refused = clientId ?? (UNREADABLE_FRAME.includes(code) ? model.state.inFlight : null);
    if (refused === null) return;
    model.apply({ type: "settled", clientId: refused });
    settled();
    const isTransient = retryAfterMs !== null || TRANSIENT_REFUSALS.includes(code);
    if (isTransient) model.patch({ heldUntil: Date.now() + (retryAfterMs ?? RETRY_AFTER_MS) });
    else fail(refused, code);
    pump();
  }

  /** The frame in flight was too large for the relay. */
  function tooLarge(): void {
    const { inFlight } = model.state;
    if (inFlight !== null) fail(inFlight, "too_long");
  }

  /** Another tab has written this entry, or removed it. */
  function otherTabWrote(clientId: string, mayConnect: boolean): void {
    if (clientId === model.state.inFlight) return;
    const entries = outbox.read(clientId);
    model.apply(entries.length > 0 ? { type: "queued", entries } : { type: "discarded", clientId });
    // That tab may be closed before it has sent the entry. If both tabs send it, the relay takes it once.
    if (mayConnect && nextUnsent(model.state)) timers.after("unsent", OTHER_TAB_SENDS_MS, () => pump());
  }

  /** Stops to wait for an answer, unless another message has been sent. */
  function settled(): void {
    if (model.state.inFlight === null) timers.stop("ack");
  }

  function unanswered(clientId: string): void {
    model.apply({ type: "unanswered", clientId });
    if ((model.state.unanswered[clientId] ?? 0) >= MOST_TIMEOUTS) fail(clientId, "unanswered");
    connection.recycle();
  }

  function fail(clientId: string, failure: string | null): void {
    model.apply({ type: "failed", clientId, failure });
    const entry = model.state.outbox.find((other) => other.clientId === clientId);
    if (entry) outbox.save(entry);
  }

  return { load, send, retry, discard, pump, acknowledged, refused, tooLarge, otherTabWrote };
}
