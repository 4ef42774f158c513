// How far the visitor has read, and the gap that a lost connection leaves in the history.
import type { Connection } from "./connection";
import type { Model } from "./model";
import type { Storage } from "./storage";
import { newestIncomingId } from "./state";
import type { Timers } from "./timers";

const READ_SENT_EVERY_MS = 1000;
const READ_KEY = "read";

export type History = ReturnType<typeof createHistory>;

export function createHistory(model: Model, storage: Storage, connection: Connection, timers: Timers) {
  function load(): void {
    model.apply({ type: "read", upTo: String(storage.read(READ_KEY) ?? "") });
  }

  function isStoredUnder(name: string): boolean {
    return name === READ_KEY;
  }

  /** The newest message is in sight. */
  function seen(): void {
    const newest = newestIncomingId(model.state);
    if (newest > model.state.readUpTo) {
      storage.write(READ_KEY, newest);
      model.apply({ type: "read", upTo: newest });
    }
    if (newest !== model.state.seenUpTo) model.patch({ seenUpTo: newest });
    tellRead();
  }

  /** Asks for what the welcome's history leaves out. */
  function resume(): void {
    const { gapAfter } = model.state;
    if (gapAfter !== "") connection.send({ type: "resume", after: gapAfter });
  }

  /** Tells the relay what was seen, one message for all within a second. */
  function tellRead(): void {
    const { seenUpTo, toldUpTo } = model.state;
    if (seenUpTo <= toldUpTo || timers.has(READ_KEY)) return;
    if (!connection.send({ type: "read", message_id: seenUpTo })) return;
    timers.after(READ_KEY, READ_SENT_EVERY_MS, () => tellRead());
    model.patch({ toldUpTo: seenUpTo });
  }

  return { load, isStoredUnder, seen, resume };
}
