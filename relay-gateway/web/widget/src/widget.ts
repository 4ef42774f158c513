// One widget without its looks: what the relay says and the visitor does becomes state; state goes to the view.
import { Connection, type ConnectionOwner, type LinkState } from "./connection";
import { createDelivery, type Delivery } from "./delivery";
import { createHistory, type History } from "./history";
import { RelayApi, type RelayError } from "./http";
import { Model } from "./model";
import type { Appearance, Options } from "./options";
import { Outbox } from "./outbox";
import { listenToPage, type PageListener } from "./page";
import type { Position, ServerFrame, Session } from "./protocol";
import { createService, type Service } from "./service";
import { Sessions } from "./session";
import { nextUnsent, type State } from "./state";
import { Storage } from "./storage";
import { Timers } from "./timers";
import { createTrouble, type Trouble } from "./trouble";
import type { ViewActions } from "./view/view";

const TYPING_SHOWN_MS = 6000;
const TYPING_SENT_EVERY_MS = 3000;

export class Widget implements ConnectionOwner, PageListener, ViewActions {
  readonly model: Model;
  readonly #api: RelayApi;
  readonly #local: Storage;
  readonly #perVisit: Storage;
  readonly #sessions: Sessions;
  readonly #outbox: Outbox;
  readonly #connection = new Connection(this);
  readonly #timers = new Timers();
  readonly #gone = new AbortController();
  readonly #delivery: Delivery;
  readonly #history: History;
  readonly #service: Service;
  readonly #trouble: Trouble;

  constructor(
    readonly options: Options,
    appearance: Appearance,
  ) {
    const { tenantId, publicKey } = options;
    this.model = new Model(appearance, options.open);
    this.#api = new RelayApi(options);
    this.#local = new Storage("localStorage", tenantId, publicKey);
    this.#perVisit = new Storage("sessionStorage", tenantId, publicKey);
    this.#outbox = new Outbox(this.#local);
    const locale = (): string => this.state.appearance.locale;
    this.#sessions = new Sessions(this.#api, this.#local, locale, `chat-relay:${tenantId}:${publicKey}`);
    this.#delivery = createDelivery(this.model, this.#outbox, this.#connection, this.#timers);
    this.#history = createHistory(this.model, this.#local, this.#connection, this.#timers);
    this.#trouble = createTrouble(this.model, this.#connection, this.#timers);
    this.#service = createService(this.model, this.#api, options, this.#timers, this.#gone.signal);
  }

  get state(): State {
    return this.model.state;
  }

  /** Where on the page it stands. */
  get side(): Position {
    return this.state.appearance.position ?? this.state.config?.position ?? "bottom-right";
  }

  async start(): Promise<void> {
    listenToPage(this, this.#gone.signal);
    const stored = this.#sessions.stored() !== null;
    const mayGreet = this.#local.read("opened") === null && this.#perVisit.read("greeted") === null;
    this.#delivery.load();
    this.model.patch({ loading: stored, mayGreet });
    this.#history.load();
    if (!(await this.#service.begin(stored))) return;
    this.model.events.emit("ready", {});
    if (stored || nextUnsent(this.state)) this.#connection.connect();
    if (this.state.opensWhenReady) this.open(true);
  }

  destroy(): void {
    this.#gone.abort();
    this.#timers.stopAll();
    this.#connection.close();
    this.model.onChange = () => undefined;
  }

  // What the visitor and the page do.

  open(byItself = false): void {
    if (this.state.config === null) {
      this.model.patch({ opensWhenReady: true });
      return;
    }
    if (this.state.open) return;
    this.#local.write("opened", true);
    this.model.patch({ open: true, openedByItself: byItself, mayGreet: false });
    if (this.state.blocked) void this.#service.returns().then((isServed) => isServed && this.#connection.connect());
    else this.#connection.connect();
    this.model.events.emit("open", {});
  }

  close(): void {
    const { open } = this.state;
    this.model.patch({ open: false, opensWhenReady: false });
    if (open) this.model.events.emit("close", {});
  }

  toggle(): void {
    if (this.state.open) this.close();
    else this.open();
  }

  send(content: string): void {
    this.#delivery.send(content);
  }

  retry(clientId: string): void {
    this.#delivery.retry(clientId);
  }

  discard(clientId: string): void {
    this.#delivery.discard(clientId);
  }

  typed(): void {
    if (this.state.blocked) return;
    this.#connection.wake();
    if (Date.now() - this.state.typingSentAt < TYPING_SENT_EVERY_MS) return;
    if (this.#connection.send({ type: "typing" })) this.model.patch({ typingSentAt: Date.now() });
  }

  /** The newest message is in sight. */
  seen(): void {
    this.#history.seen();
  }

  dismissGreeting(): void {
    this.#perVisit.write("greeted", true);
    this.model.patch({ mayGreet: false });
  }

  onChange(): void {
    this.model.onChange();
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
      this.#delivery.pump();
    } else {
      this.#timers.stop("ack");
      this.model.apply({ type: "disconnected" });
    }
    this.#trouble.update();
  }

  onFrame(frame: ServerFrame): void {
    const before = this.state;
    this.model.apply(frame);
    switch (frame.type) {
      case "welcome":
        this.#history.resume();
        break;
      case "ack":
        this.#delivery.acknowledged(frame.clientId);
        break;
      case "typing":
        this.#timers.after("typing", TYPING_SHOWN_MS, () => this.model.patch({ typing: null }));
        break;
      case "error":
        this.model.events.emit("error", { error_code: frame.code, message: frame.message });
        this.#delivery.refused(frame);
        break;
      default:
    }
    if (frame.type !== "welcome" || before.welcomed) this.#emitNewMessages(before);
    if ("status" in frame && (before.status !== frame.status || frame.type === "status")) {
      const { status, operator } = frame;
      const person = operator === null ? null : { display_name: operator.displayName };
      this.model.events.emit("status", { status, operator: person });
    }
  }

  onBlocked(failure: RelayError): void {
    this.#service.refused(failure);
  }

  needsConnection(): boolean {
    const { status } = this.state;
    const awaitsPerson = status === "waiting" || status === "assigned";
    return nextUnsent(this.state) !== undefined || (awaitsPerson && document.visibilityState === "visible");
  }

  onTooLarge(): void {
    this.#delivery.tooLarge();
  }

  // What the page's events tell.

  cameOnline(): void {
    this.#service.wake();
    this.#connection.wake();
    this.#trouble.update();
  }

  wentOffline(): void {
    this.#connection.recycle();
    this.#trouble.update();
  }

  hidden(): void {
    this.#connection.pause();
  }

  shown(): void {
    this.#connection.wake();
  }

  cameIntoSight(): void {
    this.#connection.revive();
    this.onChange();
  }

  otherTabWrote(event: StorageEvent): void {
    const name = this.#local.changedName(event);
    if (name === null) return;
    if (name === "opened") this.model.patch({ mayGreet: false });
    if (this.#history.isStoredUnder(name)) this.#history.load();
    const isServed = this.state.config !== null;
    const startedThere = this.#sessions.isStoredUnder(name) && event.newValue !== null;
    if (startedThere && this.#connection.state === "idle" && isServed) this.#connection.connect();
    const clientId = this.#outbox.idIn(name);
    if (clientId !== null) this.#delivery.otherTabWrote(clientId, isServed);
  }

  #emitNewMessages(before: State): void {
    if (before.messages === this.state.messages) return;
    const known = new Set(before.messages.map((message) => message.id));
    for (const { id, role, content } of this.state.messages) {
      if (!known.has(id)) this.model.events.emit("message", { role, content });
    }
  }
}
