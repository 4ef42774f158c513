// How far the visitor has read, and the gap that a lost connection leaves in the history.
import type { Parts } from "./parts";
import { newestIncomingId } from "./state";

const READ_SENT_EVERY_MS = 1000;
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

/** Tells the relay what was seen, one message for all within a second. */
function tellRead(p: Parts): void {
  const { seenUpTo, toldUpTo } = p.state;
  if (seenUpTo <= toldUpTo || p.timers.has(READ_KEY)) return;
  if (!p.connection.send({ type: "read", message_id: seenUpTo })) return;
  p.timers.after(READ_KEY, READ_SENT_EVERY_MS, () => tellRead(p));
  p.patch({ toldUpTo: seenUpTo });
}
