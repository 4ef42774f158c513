// What the inbox does: it asks the relay, hears from the socket, and says what happened to the store.
import { Api, Failed } from "./api";
import { Live, type Frame } from "./socket";
import { randomId } from "@chat-relay/protocol/id";
import { claims, forget, keep } from "./token";
import { put, type Words } from "./text";
import { visitorName, type Conversation, type Counts, type Entry, type Handling, type Pending, type Preview, type Queue } from "./model";
import { reduce, start, type Happened, type Person, type State } from "./store";
import { alarm } from "./alarm";
import { keepMessages, keptMessages } from "./outbox";

/** A token is renewed when so little of its time is left. */
const RENEW_BEFORE_MS = 5 * 60_000;
const TYPING_SHOWN_MS = 6_000;
const TYPING_SENT_EVERY_MS = 2_500;
const LOOKS_AFTER_MS = 120;

/** A visitor's last message, and who had the conversation, when it was last heard of. */
interface Heard {
  message: string | undefined;
  handling: Handling;
  isMine: boolean;
}

export class Inbox {
  state: State;
  readonly words: Words;
  /** The operator's id: what is kept for the tab is kept under it. */
  readonly operator: string;
  private readonly api: Api;
  private readonly live: Live;
  private readonly listeners = new Set<() => void>();
  private readonly heardOf = new Map<string, Heard>();
  private token: string;
  private typedAt = 0;
  private timers: number[] = [];
  private looking = 0;
  private loadingMore = false;
  private catchingUp: Promise<void> = Promise.resolve();
  /** Messages go one after the other, so that they arrive in the order in which they were written. */
  private sending: Promise<void> = Promise.resolve();
  private readonly becameVisible = (): void => this.readNewest();

  constructor(token: string, words: Words) {
    this.token = token;
    this.words = words;
    this.operator = claims(token)?.sub ?? "";
    this.state = { ...start, pending: keptMessages(this.operator) };
    this.api = new Api(token, (code) => this.end(code));
    this.live = new Live({
      ticket: async () => (await this.api.ticket()).ticket,
      frame: (frame) => this.heard(frame),
      lost: () => this.say({ type: "lost" }),
      over: (code) => void this.renewOrEnd(code),
    });
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  say(happened: Happened): void {
    this.state = reduce(this.state, happened);
    for (const listener of this.listeners) listener();
  }

  async begin(): Promise<void> {
    void this.live.connect();
    this.timers.push(setInterval(() => void this.renew(), 30_000) as unknown as number);
    document.addEventListener("visibilitychange", this.becameVisible);
    await this.catchUp();
  }

  /** Ends what goes on for this operator: another may take the tab. */
  leave(): void {
    this.live.stop();
    for (const timer of this.timers) clearTimeout(timer);
    document.removeEventListener("visibilitychange", this.becameVisible);
  }

  /** Loads what is missing or may have changed while nothing was heard, and sends what was interrupted. */
  private catchUp(): Promise<void> {
    const load = (): Promise<void> => this.loadAll();
    // After one that is under way: it may have read too early.
    this.catchingUp = this.catchingUp.then(load, load);
    return this.catchingUp;
  }

  private async loadAll(): Promise<void> {
    try {
      if (this.state.me === null) this.say({ type: "me", me: await this.api.me() });
      const { selected } = this.state;
      await Promise.all([this.load(), selected ? this.loadOpened(selected) : null]);
      for (const id of new Set(this.state.pending.map((it) => it.conversation_id))) this.flush(id);
      const [colleagues, canned] = await Promise.all([this.api.colleagues(), this.api.canned()]);
      this.say({ type: "colleagues", colleagues });
      this.say({ type: "canned", canned: canned.items });
    } catch (error) {
      this.tell(error);
      // Where the relay was not reached, the next welcome comes here again.
      if (error instanceof Failed && error.code !== "offline" && !error.isOver) {
        this.timers.push(setTimeout(() => void this.catchUp(), 5_000) as unknown as number);
      }
    }
  }

  private end(code: string): void {
    this.leave();
    forget();
    this.say({ type: "over", why: code === "tenant_suspended" ? "tenant_suspended" : "operator_token_superseded" });
  }

  /** The socket ends with its token: another may go on. */
  private async renewOrEnd(code: "operator_token_superseded" | "tenant_suspended"): Promise<void> {
    if (code === "operator_token_superseded" && (await this.renew(true))) return this.live.reconnectNow();
    this.end(code);
  }

  private async renew(isDue = false): Promise<boolean> {
    const ends = (claims(this.token)?.exp ?? 0) * 1000;
    if (!isDue && ends - Date.now() > RENEW_BEFORE_MS) return true;
    try {
      this.token = (await this.api.refresh()).operator_token;
      this.api.use(this.token);
      keep(this.token);
      return true;
    } catch (error) {
      return error instanceof Failed && !error.isOver;
    }
  }

  private tell(error: unknown): void {
    if (!(error instanceof Failed)) throw error;
    if (error.isOver) return;
    if (error.code === "offline") return this.live.distrust();
    const text = error.holder ? put(this.words.taken, { name: error.holder }) : put(this.words.failed, { why: error.message });
    this.say({ type: "notice", text });
    setTimeout(() => this.state.notice === text && this.say({ type: "notice", text: null }), 6_000);
  }

  private heard(frame: Frame): void {
    switch (frame.type) {
      case "welcome":
        this.say({ type: "welcomed", counts: frame.counts as Counts });
        return void this.catchUp();
      case "counts":
        return this.say({ type: "counts", counts: frame.counts as Counts });
      case "conversation": {
        const conversation = frame.conversation as Conversation;
        const last = frame.last_message as Preview | null;
        const rings = this.rings(conversation, last);
        this.say({ type: "changed", conversation, last, now: Date.now() });
        if (rings) {
          const name = visitorName(conversation, this.words.visitor);
          alarm(put(this.words.newMessage, { name }), last?.content ?? "", () => this.select(conversation.id));
        }
        // The frame has no draft: the bot may have finished one after the claim.
        if (conversation.handling === "assigned" && this.isMine(conversation) && this.state.opened?.id === conversation.id) {
          void this.open(conversation.id).catch(() => undefined);
        }
        return;
      }
      case "message": {
        const id = frame.conversation_id as string;
        const entry = frame.message as Entry;
        this.say({ type: "entry", id, entry });
        return this.readNewest();
      }
      case "watching":
        return void this.loadEntries(frame.conversation_id as string);
      case "typing": {
        const who = frame.operator as Person | null;
        if (who?.operator_id === this.operator) return;
        const until = Date.now() + TYPING_SHOWN_MS;
        this.say({ type: "typing", id: frame.conversation_id as string, who, until });
        setTimeout(() => this.listeners.forEach((listener) => listener()), TYPING_SHOWN_MS + 50);
        return;
      }
      case "presence":
        return this.say({ type: "presence", id: frame.conversation_id as string, people: frame.operators as Person[] });
      case "resync":
        return void this.catchUp();
    }
  }

  private isMine(conversation: Conversation): boolean {
    return conversation.operator?.operator_id === this.operator;
  }

  /** Whether to ring: where a conversation begins to wait, and where a visitor writes in one that waits or that this operator has. */
  private rings(conversation: Conversation, last: Preview | null): boolean {
    const message = last?.role === "visitor" ? last.id : undefined;
    const [isMine, before] = [this.isMine(conversation), this.heardOf.get(conversation.id)];
    this.remember(conversation, message ?? before?.message);
    if (conversation.handling === "waiting" && before?.handling !== "waiting") return before?.isMine !== true;
    const isToAnswer = conversation.handling === "waiting" || (conversation.handling === "assigned" && isMine);
    return isToAnswer && message !== undefined && message !== before?.message;
  }

  private remember(conversation: Conversation, message: string | undefined): void {
    const { id, handling } = conversation;
    this.heardOf.set(id, { message, handling, isMine: this.isMine(conversation) });
  }

  async load(more = false): Promise<void> {
    const { queue, search, next } = this.state;
    if (more && (this.loadingMore || next === null)) return;
    const after = more ? next : null;
    this.loadingMore = more;
    try {
      const page = await this.api.queue(queue, search, after);
      for (const item of page.items) this.remember(item, item.last_message?.role === "visitor" ? item.last_message.id : undefined);
      this.say({ type: "listed", items: page.items, counts: page.counts, next: page.next_cursor, after, queue, search });
    } catch (error) {
      this.tell(error);
    } finally {
      if (more) this.loadingMore = false;
    }
  }

  show(queue: Queue, search = ""): void {
    if (queue === this.state.queue && search === this.state.search) return;
    this.say({ type: "queue", queue, search });
    void this.load();
  }

  select(id: string | null): void {
    this.say({ type: "selected", id });
    clearTimeout(this.looking);
    // A key that is held down passes over many.
    this.looking = setTimeout(() => {
      this.live.watch(id);
      if (id) void this.loadOpened(id);
    }, LOOKS_AFTER_MS) as unknown as number;
  }

  private async open(id: string): Promise<void> {
    this.say({ type: "opened", conversation: await this.api.open(id) });
  }

  private async loadOpened(id: string): Promise<void> {
    try {
      await this.open(id);
      await this.loadEntries(id);
    } catch (error) {
      this.tell(error);
    }
  }

  async loadEntries(id: string, isEarlier = false): Promise<void> {
    try {
      const before = isEarlier ? (this.state.entries[0]?.id ?? null) : null;
      const { items, complete } = await this.api.entries(id, before);
      this.say({ type: "entries", id, items, complete, isEarlier });
      if (!isEarlier) this.readNewest();
    } catch (error) {
      this.tell(error);
    }
  }

  /** Notes that the operator has read the opened conversation, where it is in sight. Notes of colleagues are no messages of it. */
  private readNewest(): void {
    const { opened, entries } = this.state;
    const newest = entries.filter((entry) => !entry.internal).at(-1);
    if (!opened || !newest || document.visibilityState !== "visible" || (opened.read_up_to ?? "") >= newest.id) return;
    this.say({ type: "read", id: opened.id, up_to: newest.id });
    void this.api.read(opened.id, newest.id).catch(() => undefined);
  }

  async change(verb: string, body?: unknown): Promise<void> {
    const id = this.state.selected;
    if (!id) return;
    try {
      const conversation = await this.api.change(verb, id, body);
      this.say({ type: "changed", conversation, last: null, now: Date.now() });
      if (verb === "claim") await this.open(id);
    } catch (error) {
      this.tell(error);
      if (error instanceof Failed && !error.isOver) void this.loadOpened(id);
    }
  }

  /** Writes a message to the visitor of a conversation. */
  send(conversation_id: string, content: string): void {
    const pending: Pending = { conversation_id, client_id: randomId(), content, state: "sending", why: "" };
    this.pend({ type: "written", pending });
    this.flush(conversation_id);
  }

  /** Tries one that was refused again, and all before it that were interrupted. */
  sendAgain(pending: Pending): void {
    this.pend({ type: "sending", client_id: pending.client_id });
    this.flush(pending.conversation_id);
  }

  discard(pending: Pending): void {
    this.pend({ type: "discarded", client_id: pending.client_id });
  }

  /** Sends a conversation's messages that are not refused, in order, until one gets no answer. The relay takes each `client_id` once. */
  private flush(conversation_id: string): void {
    const sendAll = async (): Promise<void> => {
      for (const { client_id, content } of this.state.pending.filter((it) => it.conversation_id === conversation_id)) {
        const now = this.state.pending.find((it) => it.client_id === client_id);
        if (!now || now.state === "refused") continue;
        this.pend({ type: "sending", client_id });
        try {
          const entry = await this.api.say(conversation_id, content, client_id);
          this.pend({ type: "sent", id: conversation_id, client_id, entry });
        } catch (error) {
          const isRefused = error instanceof Failed && error.isRefusal;
          const why = error instanceof Failed ? error.message : String(error);
          this.pend({ type: "unsent", client_id, state: isRefused ? "refused" : "interrupted", why });
          if (isRefused) continue;
          this.tell(error);
          // What comes after it would arrive before it.
          for (const later of this.state.pending.filter((it) => it.conversation_id === conversation_id && it.state === "sending")) {
            this.pend({ type: "unsent", client_id: later.client_id, state: "interrupted", why: "" });
          }
          return;
        }
      }
    };
    this.sending = this.sending.then(sendAll, sendAll);
  }

  private pend(happened: Happened): void {
    this.say(happened);
    keepMessages(this.operator, this.state.pending);
  }

  async note(content: string): Promise<boolean> {
    const id = this.state.selected;
    if (!id) return false;
    try {
      this.say({ type: "entry", id, entry: await this.api.note(id, content) });
      return true;
    } catch (error) {
      this.tell(error);
      return false;
    }
  }

  typing(): void {
    const id = this.state.selected;
    if (!id || Date.now() - this.typedAt < TYPING_SENT_EVERY_MS) return;
    this.typedAt = Date.now();
    this.live.typing(id);
  }
}
