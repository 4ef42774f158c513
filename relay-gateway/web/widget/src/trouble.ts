// Tells the visitor of a bad connection, once it has been bad for long enough, and tells the page's developer why none comes.
import { describeOverHttp, describeUnreachable, tellDeveloper } from "./advice";
import type { Parts } from "./parts";

const SHOWN_AFTER_MS = 2000;

/** Without a connection for this long, the visitor is told so in words and the developer is told why. */
const UNREACHABLE_AFTER_MS = 15_000;

/** The connection's state, or the browser's, has changed. */
export function updateTrouble(p: Parts): void {
  const { state } = p.connection;
  const { trouble } = p.state;
  if (state === "waiting" || state === "dialling") {
    if (trouble !== null || !navigator.onLine) show(p);
    else if (!p.timers.has("trouble")) p.timers.after("trouble", SHOWN_AFTER_MS, () => show(p));
    if (trouble !== "unreachable" && !p.timers.has("unreachable")) p.timers.after("unreachable", UNREACHABLE_AFTER_MS, () => void unreachable(p));
    return;
  }
  p.timers.stop("trouble");
  p.timers.stop("unreachable");
  if (trouble !== null) p.patch({ trouble: null });
}

function show(p: Parts): void {
  if (p.state.trouble === "unreachable" && navigator.onLine) return;
  p.patch({ trouble: !navigator.onLine ? "offline" : p.state.welcomed ? "reconnecting" : "connecting" });
}

/** Browsers do not say why a WebSocket fails. Whether the relay answers over HTTP tells the network from the relay. */
async function unreachable(p: Parts): Promise<void> {
  if (!navigator.onLine) return;
  p.patch({ trouble: "unreachable" });
  const answers = await p.api.answers();
  if (p.gone.aborted || p.state.trouble !== "unreachable") return;
  const message = describeUnreachable(answers, p.options);
  tellDeveloper(message, p.told);
  p.events.emit("error", { error_code: answers ? "websocket_unavailable" : "unreachable", message });
}

/** No WebSocket gets through, and the chat goes on without: visitors notice nothing, developers may want to know. */
export function tellOverHttp(p: Parts): void {
  const message = describeOverHttp(p.options);
  if (p.told.has(message)) return;
  tellDeveloper(message, p.told);
  p.events.emit("error", { error_code: "websocket_unavailable", message });
}
