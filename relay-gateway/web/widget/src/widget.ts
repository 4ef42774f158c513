// One widget without its looks: what the relay says and the visitor does becomes state; state goes to the view.
import * as forms from "./forms";
import { Connection, type ConnectionOwner, type LinkState } from "./connection";
import * as delivery from "./delivery";
import * as history from "./history";
import { RelayApi, type RelayError } from "./http";
import { Model } from "./model";
import type { Appearance, Options } from "./options";
import { Outbox } from "./outbox";
import { listenToPage } from "./page";
import type { Parts } from "./parts";
import type { Position, ServerFrame, Session } from "./protocol";
import * as service from "./service";
import { Sessions } from "./session";
import { nextUnsent, type State } from "./state";
import { Storage } from "./storage";
import { Timers } from "./timers";
import { updateTrouble } from "./trouble";
import type { ViewActions } from "./view/view";

const TYPING_SHOWN_MS = 6000;
const TYPING_SENT_EVERY_MS = 3000;

export class Widget extends Model implements Parts, ConnectionOwner, ViewActions {
  readonly api: RelayApi;
  readonly local: Storage;
  readonly outbox: Outbox;
  readonly connection = new Connection(this);
  readonly timers = new Timers();
  readonly told = new Set<string>();
  endWait: () => void = () => undefined;
  readonly #perVisit: Storage;
  readonly #sessions: Sessions;
  readonly #life = new AbortController();

  constructor(
    readonly options: Options,
    appearance: Appearance,
  ) {
    super(appearance, options.open);
    const { tenantId, publicKey } = options;
    this.api = new RelayApi(options);
    this.local = new Storage("localStorage", tenantId, publicKey);
    this.#perVisit = new Storage("sessionStorage", tenantId, publicKey);
    this.outbox = new Outbox(this.local);
    const locale = (): string => this.state.appearance.locale;
    this.#sessions = new Sessions(this.api, this.local, locale, `chat-relay:${tenantId}:${publicKey}`);
  }

  get gone(): AbortSignal {
    return this.#life.signal;
  }

  /** Where on the page it stands. */
  get side(): Position {
    return this.state.appearance.position ?? this.state.config?.position ?? "bottom-right";
  }

  async start(): Promise<void> {
    listenToPage(this, this.#sessions);
    const stored = this.#sessions.stored() !== null;
    const mayGreet = this.local.read("opened") === null && this.#perVisit.read("greeted") === null;
    delivery.load(this);
    this.patch({ loading: stored, mayGreet });
    history.load(this);
    if (!(await service.begin(this, stored))) return;
    this.events.emit("ready", {});
    if (stored || nextUnsent(this.state)) this.connection.connect();
    if (this.state.opensWhenReady) this.open(true);
  }

  destroy(): void {
    this.#life.abort();
    this.timers.stopAll();
    this.connection.close();
    this.onChange = () => undefined;
  }

  // What the visitor and the page do.

  open(byItself = false): void {
    if (this.state.config === null) {
      this.patch({ opensWhenReady: true });
      return;
    }
    if (this.state.open) return;
    this.local.write("opened", true);
    this.patch({ open: true, openedByItself: byItself, mayGreet: false });
    if (this.state.blocked) void service.returns(this).then((isServed) => isServed && this.connection.connect());
    else this.connection.connect();
    this.events.emit("open", {});
  }

  close(): void {
    const { open } = this.state;
    this.patch({ open: false, opensWhenReady: false });
    if (open) this.events.emit("close", {});
  }

  toggle(): void {
    if (this.state.open) this.close();
    else this.open();
  }

  send(content: string): void {
    delivery.send(this, content);
  }

  retry(clientId: string): void {
    delivery.retry(this, clientId);
  }

  discard(clientId: string): void {
    delivery.discard(this, clientId);
  }

  rate(score: number, comment: string): void {
    forms.rate(this, score, comment);
  }

  leaveEmail(email: string): void {
    forms.leaveEmail(this, email);
  }

  typed(): void {
    if (this.state.blocked) return;
    this.connection.wake();
    if (Date.now() - this.state.typingSentAt < TYPING_SENT_EVERY_MS) return;
    if (this.connection.send({ type: "typing" })) this.patch({ typingSentAt: Date.now() });
  }

  /** The newest message is in sight. */
  seen(): void {
    history.seen(this);
  }

  dismissGreeting(): void {
    this.#perVisit.write("greeted", true);
    this.patch({ mayGreet: false });
  }

  // What the connection asks and tells.

  obtainSession(rejectedToken: string | null): Promise<Session> {
    return this.#sessions.obtain(rejectedToken);
  }

  openSocket(token: string): WebSocket {
    return this.api.openSocket(token);
  }

  onState(link: LinkState): void {
    if (link === "ready") {
      delivery.pump(this);
      forms.pump(this);
    } else {
      this.timers.stop("ack");
      this.patch({ inFlight: null, typing: null });
    }
    updateTrouble(this);
  }

  onFrame(frame: ServerFrame): void {
    const before = this.state;
    this.apply(frame);
    switch (frame.type) {
      case "welcome":
        history.resume(this);
        break;
      case "ack":
        delivery.acknowledged(this, frame.clientId);
        break;
      case "rating":
      case "email":
        forms.kept(this);
        break;
      case "typing":
        this.timers.after("typing", TYPING_SHOWN_MS, () => this.patch({ typing: null }));
        break;
      case "error":
        this.events.emit("error", { error_code: frame.code, message: frame.message });
        delivery.refused(this, frame);
        forms.refused(this, frame);
        break;
      default:
    }
    if (frame.type !== "welcome" || before.welcomed) this.#emitNewMessages(before);
    if ("status" in frame && (before.status !== frame.status || frame.type === "status")) {
      const { status, operator } = frame;
      const person = operator === null ? null : { display_name: operator.displayName };
      this.events.emit("status", { status, operator: person });
    }
  }

  onBlocked(failure: RelayError): void {
    service.refused(this, failure);
  }

  needsConnection(): boolean {
    const { status } = this.state;
    const awaitsPerson = status === "waiting" || status === "assigned";
    return nextUnsent(this.state) !== undefined || (awaitsPerson && document.visibilityState === "visible");
  }

  onTooLarge(): void {
    delivery.tooLarge(this);
  }

  #emitNewMessages(before: State): void {
    if (before.messages === this.state.messages) return;
    const known = new Set(before.messages.map((message) => message.id));
    for (const { id, role, content } of this.state.messages) {
      if (!known.has(id)) this.events.emit("message", { role, content });
    }
  }
}
