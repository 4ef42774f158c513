// What the visitor is told of a bad connection, once it has been bad for long enough to say so.
import type { Connection } from "./connection";
import type { Model } from "./model";
import type { Timers } from "./timers";

const SHOWN_AFTER_MS = 2000;

export type Trouble = ReturnType<typeof createTrouble>;

export function createTrouble(model: Model, connection: Connection, timers: Timers) {
  /** The connection's state, or the browser's, has changed. */
  function update(): void {
    const { state } = connection;
    const { trouble } = model.state;
    if (state === "waiting" || state === "dialling") {
      if (trouble !== null || !navigator.onLine) show();
      else if (!timers.has("trouble")) timers.after("trouble", SHOWN_AFTER_MS, () => show());
      return;
    }
    timers.stop("trouble");
    if (trouble !== null) model.patch({ trouble: null });
  }

  function show(): void {
    model.patch({ trouble: !navigator.onLine ? "offline" : model.state.welcomed ? "reconnecting" : "connecting" });
  }

  return { update };
}
