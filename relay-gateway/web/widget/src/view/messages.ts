// The scrolling conversation: rows kept by key, the typing dots, the pill for what arrived below.
import { newestIncomingId, unseenOutbox, type State } from "../state";
import type { Language } from "../text";
import { FormsView, type FormsActions } from "./forms";
import { Avatar } from "./avatar";
import { ChoicesView, type ChoicesActions } from "./choices";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";
import { BubbleView, LineView, type RowActions } from "./rows";
import { botFace, operatorFace, timeline, type BubbleRow, type LineRow, type Row } from "./timeline";

/** This close to the end counts as being there. */
const END_PX = 60;
const UP_KEYS: readonly string[] = ["Home", "PageUp", "ArrowUp"];

/** More new rows than this at once are history, not news: nobody wants them read out. */
const ANNOUNCED_ROWS = 4;

/** So close to the oldest message, the ones before it are asked for. */
const OLDER_PX = 600;

export interface MessagesActions extends RowActions, FormsActions, ChoicesActions {
  /** The oldest loaded message comes into sight. */
  askOlder(): void;
  /** Asks for the next drawing: the newest message came into sight. */
  onChange(): void;
}

export class MessagesView {
  readonly element: HTMLElement;
  readonly #rows = new Map<string, LineView | BubbleView>();
  readonly #log = el("div", { class: "log", role: "log", "aria-live": "polite" });
  readonly #typingFace = new Avatar();
  readonly #typingText = el("span", "sr-only");
  readonly #typing: HTMLElement;
  readonly #forms: FormsView;
  readonly #choices: ChoicesView;
  readonly #scroller = el("div", { class: "scroller", tabindex: "0", role: "group" });
  readonly #pillText = el("span");
  readonly #pill: HTMLElement;
  #conversation: string | null = null;
  #newest = "";
  #ownNewest = "";
  #madeOf: readonly unknown[] = [];
  #atEnd = true;
  /** How far it can be scrolled, as last laid out. */
  #range = 0;
  /** Whether the visitor has begun to scroll up, and nothing has moved yet. */
  #leaves = false;
  /** The scroller's `scrollTop` as it was last read. */
  #top = 0;
  readonly #resizes: ResizeObserver;
  readonly #actions: MessagesActions;

  constructor(actions: MessagesActions) {
    this.#actions = actions;
    const dots = el("span", { class: "bubble dots", "aria-hidden": "true" }, el("i"), el("i"), el("i"));
    const body = el("div", "body", this.#typingText, dots);
    this.#typing = el("div", "row theirs first last typing", this.#typingFace.element, body);
    this.#pill = button("pill", () => this.toEnd(true), icon("chevron"), this.#pillText);
    this.#hidePill();
    this.#forms = new FormsView(actions, () => actions.onChange());
    this.#choices = new ChoicesView(actions);
    this.#scroller.append(this.#log, this.#choices.element, this.#typing, this.#forms.element);
    this.element = el("div", "messages", this.#scroller, this.#pill);
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#scroller.addEventListener("keydown", ({ key, target }) => {
      if (target === this.#scroller && UP_KEYS.includes(key)) this.#leaveEnd();
    });
    // Keyboards, growing composers and loading images must not hide the newest message.
    this.#resizes = new ResizeObserver(() => {
      if (this.#atEnd) this.toEnd(false);
      else if (this.#left() < 1 && !this.#leaves) this.#arrive();
      this.#range = this.#scroller.scrollHeight - this.#scroller.clientHeight;
    });
    for (const part of [this.#scroller, this.#log, this.#choices.element, this.#typing, this.#forms.element]) this.#resizes.observe(part);
  }

  /** Whether the newest message is in sight. */
  get showsEnd(): boolean {
    return this.#atEnd;
  }

  render(state: State, language: Language): void {
    const { t } = language;
    setAttribute(this.#scroller, "aria-label", t.messages);
    setAttribute(this.#log, "aria-label", t.messages);
    setText(this.#pillText, t.newMessages);

    // Another conversation is shown from its end, wherever the visitor was in the one before.
    if (this.#conversation !== state.conversationId) this.#atEnd = true;
    this.#conversation = state.conversationId;
    const rows = this.#changed(state, language);
    if (rows !== null) this.#sync(rows, language);
    this.#forms.render(state, language);
    this.#choices.render(state, language);
    const isTyping = state.typing !== null;
    const face = state.typing === "agent" ? operatorFace(state, language) : botFace(state);
    this.#typing.hidden = !isTyping;
    setText(this.#typingText, isTyping ? t.isTyping(face.name ?? t.chatTitle) : "");
    if (isTyping) this.#typingFace.show(face);

    const own = newestOwn(state);
    const newest = newestIncomingId(state);
    // The visitor's own messages in an older page are not new.
    const wrote = own.key !== this.#ownNewest && (own.id === null || own.id > this.#newest);
    if (this.#atEnd || wrote) this.toEnd(false);
    else if (newest > this.#newest) this.#pill.hidden = false;
    this.#ownNewest = own.key;
    this.#newest = newest;
    if (state.open) this.#askOlder();
  }

  /** The rows, or `null` if nothing that they are made of has changed: a long conversation must not be built again for each key that is typed. */
  #changed(state: State, language: Language): readonly Row[] | null {
    const { messages, outbox, notes, config, operator, loading, complete, askedBefore } = state;
    const today = new Date().toDateString();
    const made = [messages, outbox, notes, config, operator, loading, complete, askedBefore, language, today];
    if (made.every((part, i) => part === this.#madeOf[i])) return null;
    this.#madeOf = made;
    return timeline(state, language);
  }

  #askOlder(): void {
    if (this.#scroller.scrollTop < OLDER_PX) this.#actions.askOlder();
  }

  toEnd(smooth: boolean): void {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    // At the end already, the call would only stop the scrolling that the visitor has begun.
    if (this.#left() >= 1) {
      this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: smooth && !calm ? "smooth" : "auto" });
    }
    if (!smooth || this.#left() < 1) this.#atEnd = true;
    this.#leaves = false;
    this.#top = this.#scroller.scrollTop;
    this.#hidePill();
  }

  /** The element was moved in the page: shows again what was in sight. */
  moved(): void {
    if (this.#atEnd) this.toEnd(false);
    else this.#scroller.scrollTop = this.#top;
  }

  destroy(): void {
    this.#resizes.disconnect();
  }

  #sync(rows: readonly Row[], language: Language): void {
    const keys = new Set(rows.map((row) => row.key));
    const added = rows.filter((row) => !this.#rows.has(row.key)).length;
    setAttribute(this.#log, "aria-live", this.#rows.size === 0 || added > ANNOUNCED_ROWS ? "off" : "polite");
    // Rows that are added above must not move what the visitor reads.
    const anchor = this.#atEnd ? null : this.#first(rows);
    const above = anchor === null ? 0 : anchor.offsetTop - this.#scroller.scrollTop;
    for (const [key, view] of this.#rows) {
      if (keys.has(key)) continue;
      view.element.remove();
      this.#rows.delete(key);
    }
    let next = this.#log.firstElementChild;
    for (const row of rows) {
      const view = this.#view(row, language);
      if (view.element === next) next = next.nextElementSibling;
      else this.#log.insertBefore(view.element, next);
    }
    if (anchor === null) return;
    const top = anchor.offsetTop - above;
    // Setting the position, even to what it is, ends the scrolling that the visitor has begun.
    if (Math.abs(top - this.#scroller.scrollTop) >= 1) this.#scroller.scrollTop = top;
    this.#top = this.#scroller.scrollTop;
  }

  /** The oldest message that was shown before and still is. */
  #first(rows: readonly Row[]): HTMLElement | null {
    for (const { kind, key } of rows) {
      const view = kind === "bubble" ? this.#rows.get(key) : undefined;
      if (view) return view.element;
    }
    return null;
  }

  #view(row: Row, language: Language): LineView | BubbleView {
    const view = this.#rows.get(row.key) ?? (row.kind === "bubble" ? new BubbleView(row, this.#actions, language) : new LineView());
    if (view instanceof LineView) view.update(row as LineRow);
    else view.update(row as BubbleRow, language);
    this.#rows.set(row.key, view);
    return view;
  }

  /** The pixels below what is in sight. */
  #left(): number {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - clientHeight - scrollTop;
  }

  /** The visitor begins to scroll up. Nothing that happens before the first scroll event may take them back to the end. */
  #leaveEnd(): void {
    this.#top = this.#scroller.scrollTop;
    if (this.#top === 0) return;
    this.#atEnd = false;
    this.#leaves = true;
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const range = scrollHeight - clientHeight;
    const wasAtEnd = this.#atEnd;
    // Where the room has changed, the move is not the visitor's: the observer is about to follow, or to leave the visitor alone.
    if ((wasAtEnd || this.#leaves) && range !== this.#range) return;
    // Scrolling down reaches the end within END_PX. Scrolling up leaves it at the first pixel, and never reaches it. An event without a move
    // tells nothing new.
    if (scrollTop > this.#top) this.#atEnd = range - scrollTop < END_PX;
    else if (scrollTop < this.#top) this.#atEnd = wasAtEnd && range - scrollTop < 1;
    if (scrollTop !== this.#top) this.#leaves = false;
    this.#top = scrollTop;
    this.#askOlder();
    if (this.#atEnd && !wasAtEnd) this.#arrive();
  }

  /** The newest message has come into sight. */
  #arrive(): void {
    this.#atEnd = true;
    this.#hidePill();
    this.#actions.onChange();
  }

  #hidePill(): void {
    // Else the focus would be lost, and the keyboard with it.
    if (this.#pill.matches(":focus")) this.#scroller.focus({ preventScroll: true });
    this.#pill.hidden = true;
  }
}

/** What the visitor wrote last, by the key of its row; it has no id until the relay keeps it. */
function newestOwn(state: State): { readonly key: string; readonly id: string | null } {
  const unsent = unseenOutbox(state);
  const last = unsent[unsent.length - 1];
  if (last) return { key: last.clientId, id: null };
  for (let i = state.messages.length - 1; i >= 0; i -= 1) {
    const message = state.messages[i];
    if (message?.role === "visitor") return { key: message.clientId ?? message.id, id: message.id };
  }
  return { key: "", id: "" };
}
