// One widget without its looks: what the relay says and the visitor does becomes state; state goes to the view.
import { tellDeveloper } from "./advice";
import * as alerts from "./alerts";
import * as files from "./files";
import * as forms from "./forms";
import { Connection, type ConnectionOwner, type LinkState } from "./connection";
import * as delivery from "./delivery";
import * as heard from "./heard";
import * as history from "./history";
import { readIdentity } from "./identity";
import { RelayApi, type RelayError } from "./http";
import type { Carrier, Line, LineOwner } from "./line";
import { Model } from "./model";
import type { Appearance, Options } from "./options";
import { Outbox } from "./outbox";
import { listenToPage } from "./page";
import type { Parts } from "./parts";
import { Polling } from "./polling";
import type { Position, ServerFrame, Session } from "./protocol";
import * as service from "./service";
import { Sessions } from "./session";
import { sheet } from "./shape";
import { hasVisitorData, nextUnsent, previewed } from "./state";
import { Storage } from "./storage";
import { fetchWords } from "./text";
import { Timers } from "./timers";
import { tellOverHttp, updateTrouble } from "./trouble";
import type { ViewActions } from "./view/view";
import { Visit } from "./visit";

const TYPING_SENT_EVERY_MS = 3000;
/** The chat waits this long for the words of its language. After that it is drawn in English until they come. */
const WORDS_WITHIN_MS = 2500;
const CARRIER_KEY = "carrier";
const PREVIEWED_KEY = "previewed";

export class Widget extends Model implements Parts, ConnectionOwner, ViewActions {
  readonly api: RelayApi;
  readonly local: Storage;
  readonly outbox: Outbox;
  readonly connection: Connection;
  readonly timers = new Timers();
  readonly told = new Set<string>();
  endWait: () => void = () => undefined;
  readonly #tab: Storage;
  readonly #visit: Visit;
  readonly #sessions: Sessions;
  /** The visitor has asked for the list while nothing could be sent. */
  #wantsList = false;
  readonly #life = new AbortController();

  constructor(
    readonly options: Options,
    appearance: Appearance,
    /** The relay's answer to the first question for the configuration, where it has come already. */
    public answered: unknown,
  ) {
    super(appearance);
    const { tenantId, publicKey } = options;
    this.api = new RelayApi(options);
    this.local = new Storage("localStorage", tenantId, publicKey);
    this.#tab = new Storage("sessionStorage", tenantId, publicKey);
    // A page of the same visit need not find out again that no WebSocket gets through.
    this.connection = new Connection(this, this.#tab.read(CARRIER_KEY) === "http" ? "http" : "socket");
    this.outbox = new Outbox(this.local);
    const locale = (): string => this.state.appearance.locale;
    this.#sessions = new Sessions(this.api, this.local, locale, `chat-relay:${tenantId}:${publicKey}`, (failure) =>
      service.identityRefused(this, failure),
    );
    this.#visit = new Visit(this.#tab, this.#sessions);
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
    const mayGreet = this.local.read("opened") === null && this.#tab.read("greeted") === null;
    this.#visit.begin();
    const { draft } = this.#visit;
    delivery.load(this);
    const previewedUpTo = String(this.#tab.read(PREVIEWED_KEY) ?? "");
    this.patch({ loading: stored, mayGreet, draft, previewedUpTo, files: files.restored(this.#visit.files, this.#sessionId) });
    history.load(this);
    alerts.begin(this);
    if (!(await service.begin(this, stored))) return;
    this.events.emit("ready", {});
    // The page may have reset it meanwhile: then there is nothing to connect for.
    if (this.#sessions.stored() !== null || nextUnsent(this.state)) this.connection.connect();
    // A page of the same visit goes on with the panel as it was. A sheet would hide the page that the visitor has just asked for.
    const { wasOpen } = this.#visit;
    const opens = this.#isInline || (wasOpen === null ? this.options.open : wasOpen && !sheet().matches);
    const { opensWhenReady, openedByItself } = this.state;
    if (opensWhenReady || opens) this.open(!opensWhenReady || openedByItself);
  }

  /** Takes the page's new settings. A chat that moves into a container opens. A chat that leaves one stays open only if the visitor has opened it elsewhere. */
  dress(appearance: Appearance): void {
    const wasInline = this.#isInline;
    this.patch({ appearance });
    alerts.count(this);
    void this.obtainWords();
    if (this.#isInline === wasInline || this.state.config === null) return;
    if (this.#isInline) this.open(true);
    else if (this.#visit.wasOpen !== true || sheet().matches) this.patch({ open: false, opensWhenReady: false });
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
      this.patch({ opensWhenReady: true, openedByItself: byItself });
      return;
    }
    if (this.state.open) {
      if (this.#isInline) this.recheck();
      return;
    }
    this.checkVisitor();
    // In a container the chat is open for every visitor. Only those who write get a session: without this, each page view would begin one.
    if (this.#isInline) {
      this.patch({ open: true, openedByItself: true });
      this.events.emit("open", {});
      return;
    }
    this.local.write("opened", true);
    this.#visit.keep("open", true);
    this.patch({ open: true, openedByItself: byItself, mayGreet: false });
    if (this.state.blocked) void service.returns(this).then((isServed) => isServed && this.connection.connect());
    else this.connection.connect();
    this.events.emit("open", {});
  }

  /** Asks a relay that has refused the page again. A chat in a container needs it: it is never closed and opened, which asks elsewhere. */
  recheck(): void {
    if (!this.state.blocked || !this.#isInline) return;
    void service.returns(this).then((isServed) => isServed && this.#sessions.stored() !== null && this.connection.connect());
  }

  close(): void {
    if (this.#isInline) return;
    const { open } = this.state;
    this.#visit.keep("open", false);
    this.patch({ open: false, opensWhenReady: false, past: null });
    if (open) this.events.emit("close", {});
  }

  toggle(isVisitors = true): void {
    if (this.state.open) this.close();
    else this.open(this.state.config === null && !isVisitors);
  }

  send(content: string): void {
    this.checkVisitor(true);
    // Who chats in a container needs no greeting on the next page.
    this.local.write("opened", true);
    this.patch({ mayGreet: false });
    this.#keepDraft("");
    delivery.send(this, content);
  }

  say(content: string): void {
    this.checkVisitor(true);
    delivery.say(this, content);
  }

  /** The visitor has signed out. What is kept here goes first: nothing of it may stay if the relay cannot be reached. */
  reset(): void {
    // A page may have cleared the storage before.
    const token = this.#sessions.forget() ?? this.connection.token;
    this.outbox.clear();
    this.local.remove(history.READ_KEY);
    alerts.forget(this);
    this.#startOver(false);
    if (token !== null) this.api.endSession(token);
  }

  /**
   * The visitor has signed in: the conversation goes on as theirs. If somebody else had signed in before, that conversation is left.
   *
   * If the page called it before the chat was loaded, `by` is how the browser knew the visitor then, and `after` is whose session it kept then. If
   * either has changed, another visitor has come, and the call is dropped.
   */
  identify(given: unknown, by?: unknown, after?: unknown): void {
    const identity = readIdentity(given);
    if (identity === null) {
      tellDeveloper("ChatRelay.identify needs { token }: a token of mint/visitor-token, from your backend.", this.told);
      return;
    }
    const before = this.#sessions.stored()?.identity ?? null;
    if (by !== undefined && (by !== this.#sessions.known() || (after ?? "") !== (before?.visitor ?? ""))) return;
    if (before !== null && before.visitor !== identity.visitor) this.reset();
    this.checkVisitor();
    if (this.#sessions.tell(identity)) this.connection.renew();
  }

  /** Forgets the visitor, if another one uses the browser now, and answers whether that is so. A visitor who is writing keeps the panel open. */
  checkVisitor(isWriting = false): boolean {
    // A connection that is being made will bring the conversation of its token's visitor.
    const { token } = this.connection;
    const isDialling = token !== null && token !== this.#sessions.stored()?.token;
    const isAnother = this.#visit.isAnothers(isDialling || hasVisitorData(this.state));
    if (isAnother) this.#startOver(isWriting);
    return isAnother;
  }

  #startOver(staysOpen: boolean): void {
    const stays = staysOpen || this.#isInline;
    const open = this.state.open && stays;
    const closes = this.state.open && !stays;
    this.connection.close();
    this.#wantsList = false;
    files.clear(this);
    this.timers.stopAll(service.WAIT);
    this.#visit.end();
    this.#tab.remove(PREVIEWED_KEY);
    if (open && !this.#isInline) this.#visit.keep("open", true);
    this.apply({ type: "reset", open });
    // What the storage still holds is the new visitor's.
    delivery.load(this);
    if (closes) this.events.emit("close", {});
  }

  addFiles(chosen: readonly File[]): void {
    this.checkVisitor(true);
    files.add(this, chosen);
  }

  keepFiles(): void {
    this.#visit.keep("files", files.kept(this, this.#sessionId));
  }

  get #isInline(): boolean {
    return this.state.appearance.container !== null;
  }

  get #sessionId(): string | null {
    return this.#sessions.stored()?.sessionId ?? null;
  }

  removeFile(key: string): void {
    this.checkVisitor(true);
    files.remove(this, key);
  }

  retryFile(key: string): void {
    files.retry(this, key);
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

  judge(messageId: string, isHelpful: boolean): void {
    forms.judge(this, messageId, isHelpful);
  }

  openConversation(id: string | null): void {
    forms.open(this, id);
  }

  /** The list opens once the relay has answered. */
  listConversations(): void {
    this.connection.wake();
    this.#wantsList = !this.connection.send({ type: "conversations" });
  }

  closePast(): void {
    this.patch({ past: null });
  }

  typed(draft: string): void {
    this.checkVisitor(true);
    this.#keepDraft(draft);
    if (this.state.blocked) return;
    if (this.#isInline && this.connection.state === "idle") this.connection.connect();
    this.connection.wake();
    if (Date.now() - this.state.typingSentAt < TYPING_SENT_EVERY_MS) return;
    if (this.connection.send({ type: "typing" })) this.patch({ typingSentAt: Date.now() });
  }

  /** The newest message is in sight. */
  seen(): void {
    history.seen(this);
  }

  /** The oldest loaded message comes into sight. */
  askOlder(): void {
    history.askOlder(this);
  }

  toggleSound(): void {
    alerts.toggleSound(this);
  }

  saveTranscript(): void {
    history.fetchAll(this);
  }

  /** The transcript was written. */
  saved(): void {
    this.patch({ transcript: "none" });
  }

  /** Sends away what stands beside the launcher: the greeting, or the preview of a message. */
  dismissGreeting(): void {
    const shown = previewed(this.state);
    if (shown !== null) {
      this.#tab.write(PREVIEWED_KEY, shown.id);
      this.patch({ previewedUpTo: shown.id });
      return;
    }
    this.#tab.write("greeted", true);
    this.patch({ mayGreet: false });
  }

  // What the connection asks and tells.

  obtainWords(): Promise<void> {
    const words = fetchWords(this.state.appearance.locale, (language) => this.api.fetchTexts(language)).then(() => this.onChange());
    // Not one of the timers that a reset stops: the start waits for it.
    const patience = new Promise<void>((resolve) => window.setTimeout(resolve, WORDS_WITHIN_MS));
    return Promise.race([words, patience]);
  }

  obtainSession(rejectedToken: string | null): Promise<Session> {
    // The connection would send the words of the visitor before in the name of the one who has come.
    if (this.checkVisitor()) return Promise.reject(new Error("another visitor"));
    this.#visit.beginWords();
    return this.#sessions.obtain(rejectedToken);
  }

  openLine(carrier: Carrier, token: string, owner: LineOwner): Line {
    return carrier === "http" ? new Polling(this.api, token, owner) : this.api.openSocket(token, owner);
  }

  answers(): Promise<boolean> {
    return this.api.answers();
  }

  onState(link: LinkState): void {
    if (link === "ready") {
      this.#tab.write(CARRIER_KEY, this.connection.carrier);
      if (this.connection.carrier === "http") tellOverHttp(this);
      delivery.pump(this);
      forms.pump(this);
      if (this.#wantsList) this.listConversations();
    } else {
      this.timers.stop("ack");
      const { askedBefore } = this.state;
      this.patch({ inFlight: null, typing: null, askedBefore: "" });
      history.answered(this, askedBefore);
    }
    updateTrouble(this);
  }

  onFrame(frame: ServerFrame): void {
    heard.take(this, frame);
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

  #keepDraft(draft: string): void {
    this.#visit.keep("draft", draft);
    this.patch({ draft });
  }
}
