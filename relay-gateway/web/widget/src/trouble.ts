// What the visitor is told of a bad connection, once it has been bad for long enough to say so.
import type { Parts } from "./parts";

const SHOWN_AFTER_MS = 2000;

/** The connection's state, or the browser's, has changed. */
export function updateTrouble(p: Parts): void {
  const { state } = p.connection;
  const { trouble } = p.state;
  if (state === "waiting" || state === "dialling") {
    if (trouble !== null || !navigator.onLine) show(p);
    else if (!p.timers.has("trouble")) p.timers.after("trouble", SHOWN_AFTER_MS, () => show(p));
    return;
  }
  p.timers.stop("trouble");
  if (trouble !== null) p.patch({ trouble: null });
}

function show(p: Parts): void {
  p.patch({ trouble: !navigator.onLine ? "offline" : p.state.welcomed ? "reconnecting" : "connecting" });
}
