// Whether the relay serves this page: asked at the start until it does, and again when a refused visitor looks.
import { describeFailure, tellDeveloper } from "./advice";
import { backoffMs } from "./connection";
import { RelayError, type RelayApi } from "./http";
import type { Model } from "./model";
import type { Options } from "./options";
import type { Timers } from "./timers";

const RECHECK_EVERY_MS = 30_000;

/** A page that was never served and gets no readable answer is asked for this often, then left in peace. */
const UNREADABLE_ATTEMPTS = 3;
const UNREADABLE_WAIT_MS = 15_000;

export type Service = ReturnType<typeof createService>;

export function createService(model: Model, api: RelayApi, options: Options, timers: Timers, gone: AbortSignal) {
  const told = new Set<string>();
  let endWait: () => void = () => undefined;

  /** Tries until the relay serves this page; `false` when it will not. */
  async function begin(wasServedBefore: boolean): Promise<boolean> {
    for (let attempt = 1, unreadable = 0; ; attempt += 1) {
      let leastMs = 0;
      try {
        await fetchConfig();
        return !gone.aborted;
      } catch (failure) {
        if (gone.aborted) return false;
        const isRefusal = failure instanceof RelayError;
        const answers = isRefusal || (navigator.onLine && (await api.answers()));
        if (navigator.onLine) tell(isRefusal ? failure.code : "unreachable", failure, answers);
        if (isRefusal && !failure.transient) return false;
        if (isRefusal) leastMs = failure.retryAfterMs ?? 1000;
        else if (answers && !wasServedBefore) {
          unreadable += 1;
          leastMs = UNREADABLE_WAIT_MS * unreadable;
          if (unreadable > UNREADABLE_ATTEMPTS) return false;
        }
      }
      await new Promise<void>((resolve) => {
        endWait = resolve;
        timers.after("config", backoffMs(attempt, leastMs), resolve);
      });
    }
  }

  /** Whether a refused page is served again, asked at most every half minute. */
  async function returns(): Promise<boolean> {
    if (Date.now() - model.state.recheckedAt < RECHECK_EVERY_MS) return false;
    model.patch({ recheckedAt: Date.now() });
    try {
      await fetchConfig();
      if (gone.aborted) return false;
      model.patch({ blocked: false });
      return true;
    } catch (failure) {
      if (!gone.aborted && failure instanceof RelayError) tell(failure.code, failure, true);
      return false;
    }
  }

  /** The relay refused this page, by HTTP or by closing the socket with 4403. */
  function refused(failure: RelayError): void {
    tell(failure.code, failure, true);
    model.patch({ blocked: true, typing: null });
  }

  async function fetchConfig(): Promise<void> {
    const config = await api.fetchConfig(model.state.appearance.locale);
    if (!gone.aborted) model.apply({ type: "config", config });
  }

  function tell(code: string, failure: unknown, answers: boolean): void {
    const message = describeFailure(failure, answers, options);
    tellDeveloper(message, told);
    model.events.emit("error", { error_code: code, message });
  }

  /** Ends the wait between two attempts. */
  function wake(): void {
    endWait();
  }

  return { begin, returns, refused, wake };
}
