// The WebSocket and its life: dial, stay, back off, sleep, or stop. What frames mean is the owner's business.
import { RelayError } from "./http";
import type { ClientFrame } from "@chat-relay/protocol/frames";
import { toJson } from "@chat-relay/protocol/json";
import { parseFrame, type ServerFrame, type Session } from "./protocol";

/** idle: never asked for. asleep: the relay closed an idle connection. blocked: this page is not served. */
export type LinkState = "idle" | "dialling" | "ready" | "waiting" | "asleep" | "blocked";

export interface ConnectionOwner {
  obtainSession(rejectedToken: string | null): Promise<Session>;
  openSocket(token: string): WebSocket;
  onState(state: LinkState): void;
  onFrame(frame: ServerFrame): void;
  /** The relay refused this page, by HTTP or by closing the socket with 4403. */
  onBlocked(failure: RelayError): void;
  /** Whether an idle connection is worth another: something is unsent, or a person about to answer who is looking. */
  needsConnection(): boolean;
  /** The frame in flight was too large for the relay. */
  onTooLarge(): void;
}

const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const FLOOD_BACKOFF_MS = 10_000;
const WELCOME_TIMEOUT_MS = 20_000;

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
  #socket: WebSocket | null = null;
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

  constructor(owner: ConnectionOwner) {
    this.#owner = owner;
  }

  /** Dials now, unless it is dialling or connected already. */
  connect(): void {
    if (this.state !== "dialling" && this.state !== "ready") void this.#dial();
  }

  /** Dials now if it is waiting or asleep, and leaves it alone if nobody asked for it or it is blocked. */
  wake(): void {
    if (this.state === "waiting" || this.state === "asleep") this.connect();
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

  /** The token of the newest dial. */
  get token(): string | null {
    return this.#token;
  }

  send(frame: ClientFrame): boolean {
    if (this.state !== "ready" || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(toJson(frame));
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
      this.#listen(this.#owner.openSocket(session.token), isCurrent);
    } catch (failure) {
      if (!isCurrent()) return;
      if (failure instanceof RelayError && !failure.transient) this.#block(failure);
      else this.#backOff(failure instanceof RelayError ? (failure.retryAfterMs ?? 0) : 0);
    }
  }

  #listen(socket: WebSocket, isCurrent: () => boolean): void {
    this.#socket = socket;
    this.#timer = window.setTimeout(() => this.#backOff(0), WELCOME_TIMEOUT_MS);
    socket.onmessage = ({ data }) => {
      if (!isCurrent()) return;
      this.#heardAt = Date.now();
      const frame = parseFrame(data);
      if (frame === null) return;
      if (frame.type === "welcome") {
        clearTimeout(this.#timer);
        this.#stableTimer = window.setTimeout(() => {
          this.#attempt = 0;
          this.#mayRetryAtOnce = true;
        }, STABLE_AFTER_MS);
        this.state = "ready";
      }
      this.#owner.onFrame(frame);
      if (frame.type === "welcome") this.#owner.onState("ready");
    };
    socket.onclose = ({ code, reason }) => {
      if (isCurrent()) this.#closed(code, reason);
    };
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
    this.#socket?.close(1000);
    this.#socket = null;
  }

  #become(state: LinkState): void {
    this.state = state;
    this.#owner.onState(state);
  }
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
