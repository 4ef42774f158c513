// Whether the relay serves this page: asked at the start until it does, and again when a refused visitor looks.
import { describeFailure, tellDeveloper } from "./advice";
import { backoffMs } from "./connection";
import { RelayError } from "./http";
import type { Parts } from "./parts";
import { parseConfig } from "./protocol";

/** The timer of the wait between two attempts to get a configuration. */
export const WAIT = "config";

const RECHECK_EVERY_MS = 30_000;

/** A page that was never served and gets no readable answer is asked for this often, then left in peace. */
const UNREADABLE_ATTEMPTS = 3;
const UNREADABLE_WAIT_MS = 15_000;

/** Tries until the relay serves this page; `false` when it will not. */
export async function begin(p: Parts, wasServedBefore: boolean): Promise<boolean> {
  for (let attempt = 1, unreadable = 0; ; attempt += 1) {
    let leastMs = 0;
    try {
      await fetchConfig(p);
      return !p.gone.aborted;
    } catch (failure) {
      if (p.gone.aborted) return false;
      const isRefusal = failure instanceof RelayError;
      const answers = isRefusal || (navigator.onLine && (await p.api.answers()));
      if (navigator.onLine) tell(p, isRefusal ? failure.code : "unreachable", failure, answers);
      if (isRefusal && !failure.transient) return false;
      if (isRefusal) leastMs = failure.retryAfterMs ?? 1000;
      else if (answers && !wasServedBefore) {
        unreadable += 1;
        leastMs = UNREADABLE_WAIT_MS * unreadable;
        if (unreadable > UNREADABLE_ATTEMPTS) return false;
      }
    }
    await new Promise<void>((resolve) => {
      p.endWait = resolve;
      p.timers.after(WAIT, backoffMs(attempt, leastMs), resolve);
    });
  }
}

/** Whether a refused page is served again, asked at most every half minute. */
export async function returns(p: Parts): Promise<boolean> {
  if (Date.now() - p.state.recheckedAt < RECHECK_EVERY_MS) return false;
  p.patch({ recheckedAt: Date.now() });
  try {
    await fetchConfig(p);
    if (p.gone.aborted) return false;
    p.patch({ blocked: false });
    return true;
  } catch (failure) {
    if (!p.gone.aborted && failure instanceof RelayError) tell(p, failure.code, failure, true);
    return false;
  }
}

/** The relay refused this page, by HTTP or by closing the socket with 4403. */
export function refused(p: Parts, failure: RelayError): void {
  tell(p, failure.code, failure, true);
  p.patch({ blocked: true, typing: null });
}

/** The relay does not take the visitor for the one the page says, and the chat goes on without. */
export function identityRefused(p: Parts, failure: RelayError): void {
  tell(p, failure.code, failure, true);
}

async function fetchConfig(p: Parts): Promise<void> {
  // Both are asked for at once. The first drawing waits for both: else its language would change a moment later.
  const { answered } = p;
  p.answered = null;
  const asked = answered === null ? p.api.fetchConfig(p.state.appearance.locale) : parseConfig(answered);
  const [config] = await Promise.all([asked, p.obtainWords()]);
  if (!p.gone.aborted) p.apply({ type: "config", config });
}

function tell(p: Parts, code: string, failure: unknown, answers: boolean): void {
  const message = describeFailure(failure, answers, p.options);
  tellDeveloper(message, p.told);
  p.events.emit("error", { error_code: code, message });
}
