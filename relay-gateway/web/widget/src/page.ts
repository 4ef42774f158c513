// What happens to the page around a widget.
import * as alerts from "./alerts";
import * as delivery from "./delivery";
import * as history from "./history";
import type { Parts } from "./parts";
import type { Sessions } from "./session";
import { updateTrouble } from "./trouble";

/** Listens until the widget is gone. */
export function listenToPage(p: Parts, sessions: Sessions): void {
  const { connection, gone: signal } = p;
  window.addEventListener(
    "online",
    () => {
      p.endWait();
      connection.wake();
      updateTrouble(p);
    },
    { signal },
  );
  window.addEventListener(
    "offline",
    () => {
      connection.recycle();
      updateTrouble(p);
    },
    { signal },
  );
  window.addEventListener("pagehide", () => connection.pause(), { signal });
  window.addEventListener(
    "pageshow",
    () => {
      // The page may come back from the back/forward cache, after the visitor has signed out on another one.
      p.checkVisitor();
      connection.wake();
    },
    { signal },
  );
  window.addEventListener("storage", (event) => otherTabWrote(p, sessions, event), { signal });
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState !== "visible") return;
      p.checkVisitor();
      p.recheck();
      connection.revive();
      p.onChange();
    },
    { signal },
  );
}

function otherTabWrote(p: Parts, sessions: Sessions, event: StorageEvent): void {
  const name = p.local.changedName(event);
  if (name === undefined) return;
  if (sessions.mayChangeVisitor(name)) p.checkVisitor();
  if (name === null) return;
  if (name === alerts.SOUND_KEY) alerts.load(p);
  if (name === "opened") p.patch({ mayGreet: false });
  if (name === history.READ_KEY) history.load(p);
  const isServed = p.state.config !== null;
  const startedThere = sessions.isStoredUnder(name) && event.newValue !== null;
  if (startedThere && p.connection.state === "idle" && isServed) p.connection.connect();
  const clientId = p.outbox.idIn(name);
  if (clientId !== null) delivery.otherTabWrote(p, clientId, isServed);
}
