// One widget without its looks: what the relay says and the visitor does becomes state; state goes to the view.
import { describeFailure, tellDeveloper } from "./advice";
import { backoffMs, Connection, type ConnectionOwner, type LinkState } from "./connection";
import { Emitter } from "./events";
import { RelayApi, RelayError } from "./http";
import { randomId } from "./id";
import type { Appearance, Options } from "./options";
import { Outbox } from "./outbox";
import { MESSAGE_CHARS } from "@chat-relay/protocol/frames";
import { clean } from "@chat-relay/protocol/untrusted";
import type { Position, ServerFrame, Session } from "./protocol";
import { Sessions } from "./session";
import { Storage } from "./storage";
import { INITIAL, newestId, newestIncomingId, reduce, unreadCount, type Action, type State } from "./store";
import type { ViewActions } from "./view/view";

const TROUBLE_SHOWN_AFTER_MS = 2000;
const TYPING_SHOWN_MS = 6000;
const TYPING_SENT_EVERY_MS = 3000;
const ACK_TIMEOUT_MS = 20_000;
const RETRY_AFTER_MS = 4000;
const RECHECK_EVERY_MS = 30_000;
const READ_SENT_EVERY_MS = 1000;

/** A message that got no answer this often stands in the way of the next no longer. */
const MOST_TIMEOUTS = 3;

/** The tab a message was written in has the first try at sending it. */
const OTHER_TAB_SENDS_MS = 5000;

/** A page that was never served and gets no readable answer is asked for this often, then left in peace. */
const UNREADABLE_ATTEMPTS = 3;
const UNREADABLE_WAIT_MS = 15_000;

/** Refusals of a message that say nothing about the message: it is sent again. */
const TRANSIENT_REFUSALS = ["directory_unavailable", "backend_unreachable", "rate_limited"];

/** Refusals of a frame that could not be read so far as to say which message it was. */
const UNREADABLE_FRAME = ["malformed_json", "validation_failed", "body_too_large"];

export class Widget implements ConnectionOwner, ViewActions {
  readonly events = new Emitter();
  state: State = INITIAL;
  /** Called after every change, and where a change asks for it. */
  onChange: () => void = () => undefined;

  /** An opening that nobody asked for at this moment must not take the focus. */
  opensByItself = false;

  readonly #api: RelayApi;
  readonly #local: Storage;
  readonly #perVisit: Storage;
  readonly #sessions: Sessions;
  readonly #outbox: Outbox;
  readonly #connection = new Connection(this);
  readonly #told = new Set<string>();
  readonly #timers = new Map<string, number>();
  readonly #listeners = new AbortController();
  #inFlight: string | null = null;
  #heldUntil = 0;
  readonly #timeouts = new Map<string, number>();
  #seen = "";
  #readSent = "";
  /** The gap in the history which a resume is to fill: it follows this message and ends with that one. */
  #gapAfter = "";
  #gapEnd = "";
  #typingSentAt = 0;
  #recheckedAt = 0;
  #wasReady = false;
  #opensWhenReady: boolean;
  #wakeConfig: () => void = () => undefined;

  constructor(
    readonly options: Options,
    public appearance: Appearance,
  ) {
    const { tenantId, publicKey } = options;
    this.#api = new RelayApi(options);
    this.#local = new Storage("localStorage", tenantId, publicKey);
    this.#perVisit = new Storage("sessionStorage", tenantId, publicKey);
    this.#outbox = new Outbox(this.#local);
    const locale = (): string => this.appearance.locale;
    this.#sessions = new Sessions(this.#api, this.#local, locale, `chat-relay:${tenantId}:${publicKey}`);
    this.#opensWhenReady = options.open;
  }

  /** Where on the page it stands. */
  get side(): Position {
    return this.appearance.position ?? this.state.config?.position ?? "bottom-right";
  }

  async start(): Promise<void> {
    this.#listenToPage();
    const stored = this.#sessions.stored() !== null;
    this.#apply({ type: "queued", entries: this.#outbox.load() });
    this.#apply({ type: "patch", patch: { loading: stored } });
    this.#apply({ type: "read", upTo: String(this.#local.read("read") ?? "") });
    if (!(await this.#fetchConfigUntilServed(stored))) return;
    this.events.emit("ready", {});
    if (stored || this.#hasUnsent()) this.#connection.connect();
    if (!this.#opensWhenReady) return;
    this.opensByItself = true;
    this.open();
    this.opensByItself = false;
  }

  destroy(): void {
    this.#listeners.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#connection.close();
    this.onChange = () => undefined;
  }

  // What the visitor and the page do.

  open(): void {
    if (this.state.config === null) {
      this.#opensWhenReady = true;
      return;
    }
    if (this.state.open) return;
    this.#local.write("opened", true);
    this.#apply({ type: "patch", patch: { open: true } });
    if (this.state.blocked) void this.#recheck();
    else this.#connection.connect();
    this.events.emit("open", {});
  }

  close(): void {
    this.#opensWhenReady = false;
    if (!this.state.open) return;
    this.#apply({ type: "patch", patch: { open: false } });
    this.events.emit("close", {});
  }

  toggle(): void {
    if (this.state.open) this.close();
    else this.open();
  }

  send(content: string): void {
    if (content === "" || content.length > MESSAGE_CHARS) return;
    const entry = { clientId: randomId(), content: clean(content), createdAt: new Date().toISOString(), failure: null };
    this.#outbox.save(entry);
    this.#apply({ type: "queued", entries: [entry] });
    this.#typingSentAt = 0;
    this.#pump();
  }

  retry(clientId: string): void {
    this.#timeouts.delete(clientId);
    this.#markFailed(clientId, null);
    this.#pump();
  }

  discard(clientId: string): void {
    this.#outbox.remove(clientId);
    this.#apply({ type: "discarded", clientId });
  }

  typed(): void {
    if (this.state.blocked) return;
    this.#connection.wake();
    if (Date.now() - this.#typingSentAt < TYPING_SENT_EVERY_MS) return;
    if (this.#connection.send({ type: "typing" })) this.#typingSentAt = Date.now();
  }

  /** The view says that the newest message is in sight. */
  seen(): void {
    const newest = newestIncomingId(this.state);
    if (newest > this.state.readUpTo) {
      this.#local.write("read", newest);
      this.#apply({ type: "read", upTo: newest });
    }
    this.#seen = newest;
    this.#tellRead();
  }

  mayGreet(): boolean {
    return this.#local.read("opened") === null && this.#perVisit.read("greeted") === null && !this.state.blocked;
  }

  dismissGreeting(): void {
    this.#perVisit.write("greeted", true);
    this.onChange();
  }

  // What the connection asks and tells.

  obtainSession(rejectedToken: string | null): Promise<Session> {
    return this.#sessions.obtain(rejectedToken);
  }

  openSocket(token: string): WebSocket {
    return this.#api.openSocket(token);
  }

  onState(link: LinkState): void {
    if (link === "ready") {
      this.#pump();
    } else {
      this.#inFlight = null;
      this.#stop("ack");
      if (this.state.typing !== null) this.#apply({ type: "patch", patch: { typing: null } });
    }
    this.#updateTrouble();
  }

  onFrame(frame: ServerFrame): void {
    const before = this.state;
    this.#apply(frame);
    switch (frame.type) {
      case "welcome":
        this.#welcomed(frame, before);
        break;
      case "ack":
        this.#settled(frame.clientId);
        this.#outbox.remove(frame.clientId);
        this.#pump();
        break;
      case "message":
        if (frame.message.id === this.#gapEnd) this.#gapAfter = "";
        break;
      case "typing":
        this.#after("typing", TYPING_SHOWN_MS, () => this.#apply({ type: "patch", patch: { typing: null } }));
        break;
      case "error":
        this.#refused(frame);
        break;
      default:
    }
    if (frame.type !== "welcome" || this.#wasReady) this.#emitNewMessages(before);
    if (frame.type === "welcome") this.#wasReady = true;
    if ("status" in frame && (before.status !== frame.status || frame.type === "status")) {
      const { status, operator } = frame;
      const person = operator === null ? null : { display_name: operator.displayName };
      this.events.emit("status", { status, operator: person });
    }
  }

  onBlocked(failure: RelayError): void {
    this.#fail(failure.code, describeFailure(failure, true, this.options));
    this.#apply({ type: "patch", patch: { blocked: true, typing: null } });
  }

  needsConnection(): boolean {
    const { status } = this.state;
    const awaitsPerson = status === "waiting" || status === "assigned";
    return this.#hasUnsent() || (awaitsPerson && document.visibilityState === "visible");
  }

  onTooLarge(): void {
    if (this.#inFlight !== null) this.#markFailed(this.#inFlight, "too_long");
  }

  // Inside.

  #apply(action: Action): void {
    const unread = unreadCount(this.state);
    this.state = reduce(this.state, action);
    this.onChange();
    const now = unreadCount(this.state);
    if (now !== unread) this.events.emit("unread", { count: now });
  }

  #emitNewMessages(before: State): void {
    if (before.messages === this.state.messages) return;
    const known = new Set(before.messages.map((message) => message.id));
    for (const { id, role, content } of this.state.messages) {
      if (!known.has(id)) this.events.emit("message", { role, content });
    }
  }

  #welcomed(frame: Extract<ServerFrame, { type: "welcome" }>, before: State): void {
    this.#readSent = frame.readUpTo ?? "";
    if (before.sessionId !== frame.sessionId) this.#gapAfter = this.#seen = "";
    else this.#gapAfter ||= newestId(before);
    this.#gapEnd = frame.history[0]?.id ?? "";
    // Older than all of the history: something may lie between, which only a resume brings. Should it break off
    // half-way, the next one starts from the same message: what has come since hides the gap.
    if (this.#gapAfter >= this.#gapEnd) this.#gapAfter = "";
    if (this.#gapAfter !== "") this.#connection.send({ type: "resume", after: this.#gapAfter });
  }

  /** Tells the relay what was seen, one message for all within a second. */
  #tellRead(): void {
    if (this.#seen <= this.#readSent || this.#timers.has("read")) return;
    if (!this.#connection.send({ type: "read", message_id: this.#seen })) return;
    this.#readSent = this.#seen;
    this.#after("read", READ_SENT_EVERY_MS, () => this.#tellRead());
  }

  #hasUnsent(): boolean {
    return this.state.outbox.some((entry) => entry.failure === null);
  }

  /** Sends the oldest unsent message, one at a time: so they arrive in the order they were written. */
  #pump(): void {
    const next = this.state.outbox.find((entry) => entry.failure === null);
    if (!next || this.#inFlight !== null || this.state.blocked) return;
    if (this.#connection.state === "idle" || this.#connection.state === "asleep") this.#connection.connect();
    const wait = this.#heldUntil - Date.now();
    if (wait > 0) {
      this.#after("held", wait, () => this.#pump());
      return;
    }
    const { clientId, content } = next;
    if (!this.#connection.send({ type: "message", client_id: clientId, content, attachments: [] })) return;
    this.#inFlight = clientId;
    this.#after("ack", ACK_TIMEOUT_MS, () => this.#unanswered(clientId));
  }

  #unanswered(clientId: string): void {
    const timeouts = (this.#timeouts.get(clientId) ?? 0) + 1;
    this.#timeouts.set(clientId, timeouts);
    if (timeouts >= MOST_TIMEOUTS) this.#markFailed(clientId, "unanswered");
    this.#connection.recycle();
  }

  #settled(clientId: string): void {
    if (this.#inFlight !== clientId) return;
    this.#inFlight = null;
    this.#stop("ack");
  }

  #refused({ code, message, clientId, retryAfterMs }: Extract<ServerFrame, { type: "error" }>): void {
    this.events.emit("error", { error_code: code, message });
    const refused = clientId ?? (UNREADABLE_FRAME.includes(code) ? this.#inFlight : null);
    if (refused === null) return;
    this.#settled(refused);
    const isTransient = retryAfterMs !== null || TRANSIENT_REFUSALS.includes(code);
    if (isTransient) this.#heldUntil = Date.now() + (retryAfterMs ?? RETRY_AFTER_MS);
    else this.#markFailed(refused, code);
    this.#pump();
  }

  #markFailed(clientId: string, failure: string | null): void {
    this.#apply({ type: "failed", clientId, failure });
    const entry = this.state.outbox.find((other) => other.clientId === clientId);
    if (entry) this.#outbox.save(entry);
  }

  #fail(code: string, message: string): void {
    tellDeveloper(message, this.#told);
    this.events.emit("error", { error_code: code, message });
  }

  /** Tries until the relay serves this page; `false` when it will not. */
  async #fetchConfigUntilServed(wasServedBefore: boolean): Promise<boolean> {
    for (let attempt = 1, unreadable = 0; ; attempt += 1) {
      let leastMs = 0;
      try {
        this.#apply({ type: "config", config: await this.#api.fetchConfig(this.appearance.locale) });
        return !this.#listeners.signal.aborted;
      } catch (failure) {
        if (this.#listeners.signal.aborted) return false;
        const isRefusal = failure instanceof RelayError;
        const answers = isRefusal || (navigator.onLine && (await this.#api.answers()));
        if (navigator.onLine) this.#fail(isRefusal ? failure.code : "unreachable", describeFailure(failure, answers, this.options));
        if (isRefusal && !failure.transient) return false;
        if (isRefusal) leastMs = failure.retryAfterMs ?? 1000;
        else if (answers && !wasServedBefore) {
          unreadable += 1;
          leastMs = UNREADABLE_WAIT_MS * unreadable;
          if (unreadable > UNREADABLE_ATTEMPTS) return false;
        }
      }
      await new Promise<void>((resolve) => {
        this.#wakeConfig = resolve;
        this.#after("config", backoffMs(attempt, leastMs), resolve);
      });
    }
  }

  /** Whether the page is served again, asked when the visitor looks. */
  async #recheck(): Promise<void> {
    if (Date.now() - this.#recheckedAt < RECHECK_EVERY_MS) return;
    this.#recheckedAt = Date.now();
    try {
      const config = await this.#api.fetchConfig(this.appearance.locale);
      if (this.#listeners.signal.aborted) return;
      this.#apply({ type: "config", config });
      this.#apply({ type: "patch", patch: { blocked: false } });
      this.#connection.connect();
    } catch (failure) {
      if (this.#listeners.signal.aborted) return;
      if (failure instanceof RelayError) this.#fail(failure.code, describeFailure(failure, true, this.options));
    }
  }

  #updateTrouble(): void {
    const { state } = this.#connection;
    if (state === "waiting" || state === "dialling") {
      if (this.state.trouble !== null || !navigator.onLine) this.#showTrouble();
      else if (!this.#timers.has("trouble")) this.#after("trouble", TROUBLE_SHOWN_AFTER_MS, () => this.#showTrouble());
      return;
    }
    this.#stop("trouble");
    if (this.state.trouble !== null) this.#apply({ type: "patch", patch: { trouble: null } });
  }

  #showTrouble(): void {
    const trouble = !navigator.onLine ? "offline" : this.#wasReady ? "reconnecting" : "connecting";
    this.#apply({ type: "patch", patch: { trouble } });
  }

  #listenToPage(): void {
    const { signal } = this.#listeners;
    window.addEventListener("online", () => this.#backOnline(), { signal });
    window.addEventListener("offline", () => this.#wentOffline(), { signal });
    window.addEventListener("pagehide", () => this.#connection.pause(), { signal });
    window.addEventListener("pageshow", () => this.#connection.wake(), { signal });
    window.addEventListener("storage", (event) => this.#otherTabWrote(event), { signal });
    document.addEventListener("visibilitychange", () => this.#visibilityChanged(), { signal });
  }

  #backOnline(): void {
    this.#wakeConfig();
    this.#connection.wake();
    this.#updateTrouble();
  }

  #wentOffline(): void {
    this.#connection.recycle();
    this.#updateTrouble();
  }

  #visibilityChanged(): void {
    if (document.visibilityState !== "visible") return;
    this.#connection.revive();
    this.onChange();
  }

  #otherTabWrote(event: StorageEvent): void {
    const name = this.#local.changedName(event);
    if (name === null) return;
    if (name === "read") this.#apply({ type: "read", upTo: String(this.#local.read("read") ?? "") });
    const startedThere = this.#sessions.isStoredUnder(name) && event.newValue !== null;
    if (startedThere && this.#connection.state === "idle" && this.state.config !== null) this.#connection.connect();
    const clientId = this.#outbox.idIn(name);
    if (clientId === null || clientId === this.#inFlight) return;
    const entries = this.#outbox.read(clientId);
    this.#apply(entries.length > 0 ? { type: "queued", entries } : { type: "discarded", clientId });
    // Should that tab be closed before it has sent it. Both may: the relay takes it once.
    if (this.state.config !== null && this.#hasUnsent()) this.#after("unsent", OTHER_TAB_SENDS_MS, () => this.#pump());
  }

  #after(name: string, ms: number, run: () => void): void {
    this.#stop(name);
    const timer = window.setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, ms);
    this.#timers.set(name, timer);
  }

  #stop(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
