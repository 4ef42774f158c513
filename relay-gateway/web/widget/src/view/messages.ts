// The scrolling conversation: rows kept by key, the typing dots, the pill for what arrived below.
import { newestIncomingId, type State } from "../state";
import type { Language } from "../text";
import { FormsView, type FormsActions } from "./forms";
import { Avatar } from "./avatar";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";
import { BubbleView, LineView, type RowActions } from "./rows";
import { botFace, operatorFace, timeline, type BubbleRow, type LineRow, type Row } from "./timeline";

/** This close to the end counts as being there. */
const END_PX = 60;

/** More new rows than this at once are history, not news: nobody wants them read out. */
const ANNOUNCED_ROWS = 4;

export interface MessagesActions extends RowActions, FormsActions {
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
  readonly #scroller = el("div", { class: "scroller", tabindex: "0", role: "group" });
  readonly #pillText = el("span");
  readonly #pill: HTMLElement;
  #newest = "";
  #ownRows = 0;
  #atEnd = true;
  /** How far it can be scrolled, as last laid out. */
  #range = 0;
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
    this.#scroller.append(this.#log, this.#typing, this.#forms.element);
    this.element = el("div", "messages", this.#scroller, this.#pill);
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Keyboards, growing composers and loading images must not hide the newest message.
    this.#resizes = new ResizeObserver(() => {
      if (this.#atEnd) this.toEnd(false);
      this.#range = this.#scroller.scrollHeight - this.#scroller.clientHeight;
    });
    for (const part of [this.#scroller, this.#log, this.#typing, this.#forms.element]) this.#resizes.observe(part);
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

    const rows = timeline(state, language);
    this.#sync(rows, language);
    this.#forms.render(state, language);
    const isTyping = state.typing !== null;
    const face = state.typing === "agent" ? operatorFace(state, language) : botFace(state);
    this.#typing.hidden = !isTyping;
    setText(this.#typingText, isTyping ? t.isTyping(face.name ?? t.chatTitle) : "");
    if (isTyping) this.#typingFace.show(face);

    const ownRows = rows.filter((row) => row.kind === "bubble" && row.role === "visitor").length;
    const newest = newestIncomingId(state);
    const wrote = ownRows > this.#ownRows;
    if (this.#atEnd || wrote) this.toEnd(false);
    else if (newest > this.#newest) this.#pill.hidden = false;
    this.#ownRows = ownRows;
    this.#newest = newest;
  }

  toEnd(smooth: boolean): void {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: smooth && !calm ? "smooth" : "auto" });
    if (!smooth) this.#atEnd = true;
    this.#hidePill();
  }

  destroy(): void {
    this.#resizes.disconnect();
  }

  #sync(rows: readonly Row[], language: Language): void {
    const keys = new Set(rows.map((row) => row.key));
    const added = rows.filter((row) => !this.#rows.has(row.key)).length;
    setAttribute(this.#log, "aria-live", added > ANNOUNCED_ROWS ? "off" : "polite");
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
  }

  #view(row: Row, language: Language): LineView | BubbleView {
    const view = this.#rows.get(row.key) ?? (row.kind === "bubble" ? new BubbleView(row, this.#actions) : new LineView());
    if (view instanceof LineView) view.update(row as LineRow);
    else view.update(row as BubbleRow, language);
    this.#rows.set(row.key, view);
    return view;
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const range = scrollHeight - clientHeight;
    const wasAtEnd = this.#atEnd;
    // Nobody scrolled away where the room has changed: the observer is about to follow.
    if (wasAtEnd && range !== this.#range) return;
    this.#atEnd = range - scrollTop < END_PX;
    if (!this.#atEnd || wasAtEnd) return;
    this.#hidePill();
    this.#actions.onChange();
  }

  #hidePill(): void {
    // Else the focus would be lost, and the keyboard with it.
    if (this.#pill.matches(":focus")) this.#scroller.focus({ preventScroll: true });
    this.#pill.hidden = true;
  }
}
