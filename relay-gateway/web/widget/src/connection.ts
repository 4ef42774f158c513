// The connection and its life: dial, stay, back off, sleep, or stop; by a WebSocket, or by calls where none gets through. What frames
// mean is the owner's business.
import { RelayError } from "./http";
import type { Carrier, Line, LineOwner } from "./line";
import type { ClientFrame } from "@chat-relay/protocol/frames";
import { parseFrame, type ServerFrame, type Session } from "./protocol";

/** idle: never asked for. asleep: the relay closed an idle connection. blocked: this page is not served. */
export type LinkState = "idle" | "dialling" | "ready" | "waiting" | "asleep" | "blocked";

export interface ConnectionOwner {
  obtainSession(rejectedToken: string | null): Promise<Session>;
  openLine(carrier: Carrier, token: string, owner: LineOwner): Line;
  onState(state: LinkState): void;
  onFrame(frame: ServerFrame): void;
  /** The relay refused this page, by HTTP or by closing the socket with 4403. */
  onBlocked(failure: RelayError): void;
  /** Whether the relay answers a call. */
  answers(): Promise<boolean>;
  /** Whether an idle connection is worth another: something is unsent, or a person about to answer who is looking. */
  needsConnection(): boolean;
  /** The frame in flight was too large for the relay. */
  onTooLarge(): void;
}

const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const FLOOD_BACKOFF_MS = 10_000;
const WELCOME_TIMEOUT_MS = 10_000;

/** So many WebSockets in a row that were welcomed and broke soon are as bad as one that never was: then frames go by calls. */
const BROKEN_SOCKETS = 3;

/** While frames go by calls, a WebSocket is tried this long after the connection, and later each time. */
const SOCKET_TRIED_AFTER_MS = 10_000;
const SOCKET_TRIED_AFTER_MOST_MS = 10 * 60_000;

/** So that the browsers do not all come back in the same second: to a relay that restarts (1012), or is overburdened (1013). */
const SPREAD_MS: Readonly<Record<number, number>> = { 1012: 3000, 1013: 10_000 };

/** A connection may die unnoticed while its page is out of sight; one that was silent for this long is not trusted. */
const TRUSTED_FOR_MS = 60_000;

/** A connection that lasted this long was a good one: the next trouble starts from the shortest wait. */
const STABLE_AFTER_MS = 5000;

/** Proxies may turn a refused token into a plain failure: after so many in a row, renew it to be sure. */
const SUSPICIOUS_FAILURES = 4;

export class Connection {
  state: LinkState = "idle";
  #line: Line | null = null;
  /** A WebSocket that is tried while frames go by calls. */
  #trial: Line | null = null;
  #carrier: Carrier;
  #brokenSockets = 0;
  #trialAfterMs = SOCKET_TRIED_AFTER_MS;
  #token: string | null = null;
  #rejected: string | null = null;
  #attempt = 0;
  #heardAt = 0;
  #mayRetryAtOnce = true;
  /** Every dial and every drop starts a new generation; callbacks of an older one are ignored. */
  #generation = 0;
  #timer = 0;
  #stableTimer = 0;
  readonly #owner: ConnectionOwner;

  constructor(owner: ConnectionOwner, carrier: Carrier) {
    this.#owner = owner;
    this.#carrier = carrier;
  }

  /** Dials now, unless it is dialling or connected already. */
  connect(): void {
    if (this.state !== "dialling" && this.state !== "ready") void this.#dial();
  }

  /** Dials now if it is waiting or asleep, and leaves it alone if nobody asked for it or it is blocked. */
  wake(): void {
    if (this.state === "waiting" || this.state === "asleep") this.connect();
  }

  /** Dials anew, for a session that is not the one of before. */
  renew(): void {
    if (this.state !== "idle" && this.state !== "blocked") void this.#dial();
  }

  /** For a page that comes into sight again. */
  revive(): void {
    if (this.state === "ready" && Date.now() - this.#heardAt > TRUSTED_FOR_MS) void this.#dial();
    else this.wake();
  }

  /** Gives the connection up for one that looks dead. */
  recycle(): void {
    if (this.state === "ready" || this.state === "dialling") this.#backOff(0);
  }

  /** Lets go of the socket, as for the back/forward cache; `wake` brings it back. */
  pause(): void {
    if (this.state === "idle" || this.state === "blocked") return;
    this.#drop();
    this.#become("asleep");
  }

  close(): void {
    this.#drop();
    this.#token = null;
    this.state = "idle";
  }

  get carrier(): Carrier {
    return this.#carrier;
  }

  /** The token of the newest dial. */
  get token(): string | null {
    return this.#token;
  }

  send(frame: ClientFrame): boolean {
    if (this.state !== "ready" || !this.#line?.isOpen) return false;
    this.#line.send(frame);
    return true;
  }

  async #dial(): Promise<void> {
    this.#drop();
    const generation = this.#generation;
    const isCurrent = (): boolean => generation === this.#generation;
    this.#become("dialling");
    try {
      const session = await this.#owner.obtainSession(this.#rejected);
      if (!isCurrent()) return;
      this.#rejected = null;
      this.#token = session.token;
      this.#listen(session.token, isCurrent);
    } catch (failure) {
      if (!isCurrent()) return;
      if (failure instanceof RelayError && !failure.transient) this.#block(failure);
      else this.#backOff(failure instanceof RelayError ? (failure.retryAfterMs ?? 0) : 0);
    }
  }

  #listen(token: string, isCurrent: () => boolean): void {
    let isWelcome = false;
    const lost = (): void => this.#lost(isWelcome);
    this.#timer = window.setTimeout(lost, WELCOME_TIMEOUT_MS);
    const lineOwner: LineOwner = {
      heard: (data) => {
        if (!isCurrent()) return;
        this.#heardAt = Date.now();
        const frame = parseFrame(data);
        if (frame === null) return;
        // Calls may be welcomed again, to another conversation.
        if (frame.type === "welcome" && !isWelcome) {
          isWelcome = true;
          clearTimeout(this.#timer);
          this.#stableTimer = window.setTimeout(() => {
            this.#attempt = 0;
            this.#mayRetryAtOnce = true;
            if (this.#carrier === "http") return;
            this.#brokenSockets = 0;
            this.#trialAfterMs = SOCKET_TRIED_AFTER_MS;
          }, STABLE_AFTER_MS);
          this.state = "ready";
          if (this.#carrier === "http") this.#trySocket(token, isCurrent);
        }
        this.#owner.onFrame(frame);
        if (frame.type === "welcome") this.#owner.onState("ready");
      },
      closed: (code, reason) => {
        if (!isCurrent()) return;
        if (isRelays(code)) this.#closed(code, reason);
        else lost();
      },
    };
    try {
      this.#line = this.#owner.openLine(this.#carrier, token, lineOwner);
    } catch {
      // A policy of the page's may forbid it outright, and some pages take WebSockets away.
      lost();
    }
  }

  /** A connection broke, or none came. Where the relay answers calls and no WebSocket lasts, the next connection is by calls. */
  #lost(wasWelcome: boolean): void {
    this.#brokenSockets += wasWelcome ? 1 : BROKEN_SOCKETS;
    const wasSocket = this.#carrier === "socket";
    // Calls that got through before may do so again at once.
    this.#carrier = !wasSocket && wasWelcome ? "http" : "socket";
    this.#backOff(0);
    if (!wasSocket || this.#brokenSockets < BROKEN_SOCKETS) return;
    void this.#owner.answers().then((answers) => {
      const isTrying = this.state === "waiting" || this.state === "dialling";
      if (!answers || !isTrying || this.#carrier === "http") return;
      this.#carrier = "http";
      if (this.state === "dialling") void this.#dial();
    });
  }

  /** Tries a WebSocket beside the calls, and moves to WebSockets once one gets through. */
  #trySocket(token: string, isCurrent: () => boolean): void {
    const afterMs = this.#trialAfterMs;
    this.#trialAfterMs = Math.min(afterMs * 2, SOCKET_TRIED_AFTER_MOST_MS);
    this.#timer = window.setTimeout(() => {
      let isOver = false;
      const end = (gotThrough: boolean): void => {
        if (isOver || !isCurrent()) return;
        isOver = true;
        this.#trial?.close();
        clearTimeout(this.#timer);
        if (gotThrough) {
          this.#carrier = "socket";
          // One that breaks soon leads back to calls.
          this.#brokenSockets = BROKEN_SOCKETS - 1;
          void this.#dial();
        } else this.#trySocket(token, isCurrent);
      };
      this.#timer = window.setTimeout(() => end(false), WELCOME_TIMEOUT_MS);
      try {
        this.#trial = this.#owner.openLine("socket", token, {
          heard: () => end(true),
          closed: (code) => end(isRelays(code)),
        });
      } catch {
        // A policy of the page's may forbid it outright.
        end(false);
      }
    }, afterMs);
  }

  #closed(code: number, reason: string): void {
    switch (code) {
      case 4401:
        this.#rejected = this.#token;
        if (this.#mayRetryAtOnce) {
          this.#mayRetryAtOnce = false;
          void this.#dial();
        } else this.#backOff(0);
        break;
      case 4403:
        this.#block(refusal(reason));
        break;
      case 4408:
        if (this.#owner.needsConnection()) this.#backOff(0);
        else this.pause();
        break;
      case 4413:
        this.#owner.onTooLarge();
        this.#backOff(0);
        break;
      case 4429:
        this.#backOff(FLOOD_BACKOFF_MS);
        break;
      default:
        this.#backOff(Math.random() * (SPREAD_MS[code] ?? 0));
    }
  }

  #block(failure: RelayError): void {
    this.#drop();
    this.#become("blocked");
    this.#owner.onBlocked(failure);
  }

  /** Waits with full jitter, at least `leastMs`. */
  #backOff(leastMs: number): void {
    this.#drop();
    this.#attempt += 1;
    if (this.#attempt % SUSPICIOUS_FAILURES === 0) this.#rejected = this.#token;
    this.#timer = window.setTimeout(() => this.wake(), backoffMs(this.#attempt, leastMs));
    this.#become("waiting");
  }

  #drop(): void {
    this.#generation += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#stableTimer);
    this.#line?.close();
    this.#trial?.close();
    this.#line = this.#trial = null;
  }

  #become(state: LinkState): void {
    this.state = state;
    this.#owner.onState(state);
  }
}

/** Whether the relay has sent this code. Every other one is the network's or a proxy's. */
function isRelays(code: number): boolean {
  return code >= 4000 || code === 1012 || code === 1013;
}

/** A 4403's reason begins with an error code, unless something between has replaced it. */
function refusal(reason: string): RelayError {
  const [, code = "not_served", message = reason] = /^([a-z_]+): (.*)/.exec(reason) ?? [];
  return new RelayError(403, code, message, null);
}

/** Full jitter under a ceiling that doubles from half a second to half a minute. */
export function backoffMs(attempt: number, leastMs: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempt);
  return leastMs + Math.max(BACKOFF_MIN_MS, Math.random() * ceiling);
}
