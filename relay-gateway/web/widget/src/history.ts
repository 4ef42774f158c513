// How far the visitor has read, what was said before, and the gap that a lost connection leaves in the history.
import { HISTORY_MESSAGES } from "@chat-relay/protocol/frames";
import type { Parts } from "./parts";
import type { ServerFrame } from "./protocol";
import { newestIncomingId } from "./state";

const READ_SENT_EVERY_MS = 1000;
const ANSWERED_WITHIN_MS = 20_000;
export const READ_KEY = "read";

export function load(p: Parts): void {
  p.apply({ type: "read", upTo: String(p.local.read(READ_KEY) ?? "") });
}

/** The newest message is in sight. */
export function seen(p: Parts): void {
  const newest = newestIncomingId(p.state);
  if (newest > p.state.readUpTo) {
    p.local.write(READ_KEY, newest);
    p.apply({ type: "read", upTo: newest });
  }
  if (newest !== p.state.seenUpTo) p.patch({ seenUpTo: newest });
  tellRead(p);
}

/** Asks for what the welcome's history leaves out. */
export function resume(p: Parts): void {
  const { gapAfter } = p.state;
  if (gapAfter !== "") p.connection.send({ type: "resume", after: gapAfter });
}

/** The visitor comes to the oldest message: asks for what was said before it, once at a time. */
export function askOlder(p: Parts): void {
  const { messages, complete, mayAskOlder, askedBefore } = p.state;
  const oldest = messages[0]?.id;
  if (complete || !mayAskOlder || askedBefore !== "" || oldest === undefined) return;
  if (!p.connection.send({ type: "history", before: oldest, limit: HISTORY_MESSAGES })) return;
  p.patch({ askedBefore: oldest });
  p.timers.after("older", ANSWERED_WITHIN_MS, () => {
    p.patch({ askedBefore: "" });
    stopFetching(p);
  });
}

/** The visitor saves the conversation: asks for all that is not loaded. When all of it is loaded, or the relay does not answer, the transcript is ready. */
export function fetchAll(p: Parts): void {
  p.patch({ transcript: "fetching" });
  fetchMore(p, "");
}

function fetchMore(p: Parts, askedLast: string): void {
  // The widget keeps a bounded number of messages. Beyond it, the same page would be asked for again and again.
  if (p.state.messages[0]?.id !== askedLast) askOlder(p);
  if (p.state.askedBefore === "") stopFetching(p);
}

/** After the reducer: the relay has answered what it was asked before this message. */
export function answered(p: Parts, askedBefore: string): void {
  p.timers.stop("older");
  if (p.state.transcript === "fetching") fetchMore(p, askedBefore);
}

/** After the reducer: the visitor has turned to another conversation. What was asked of the one before is of no use. */
export function leave(p: Parts): void {
  p.timers.stop("older");
  p.patch({ transcript: "none" });
}

function stopFetching(p: Parts): void {
  if (p.state.transcript === "fetching") p.patch({ transcript: "ready" });
}

/** Whether a refusal that names no frame is of this question: a relay of another version may not know it. */
export function refused(p: Parts, { clientId }: Extract<ServerFrame, { type: "error" }>): boolean {
  const { askedBefore } = p.state;
  if (clientId !== null || askedBefore === "") return false;
  p.patch({ askedBefore: "", mayAskOlder: false });
  answered(p, askedBefore);
  return true;
}

/** Tells the relay what was seen, one message for all within a second. */
function tellRead(p: Parts): void {
  const { seenUpTo, toldUpTo } = p.state;
  if (seenUpTo <= toldUpTo || p.timers.has(READ_KEY)) return;
  if (!p.connection.send({ type: "read", message_id: seenUpTo })) return;
  p.timers.after(READ_KEY, READ_SENT_EVERY_MS, () => tellRead(p));
  p.patch({ toldUpTo: seenUpTo });
}
