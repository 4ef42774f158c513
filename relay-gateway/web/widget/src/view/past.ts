// The list of the visitor's conversations, in the place of the messages.
import type { PastConversation } from "../protocol";
import type { State } from "../state";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

export interface PastActions {
  /** Goes to a conversation, or to a new one. */
  openConversation(id: string | null): void;
  closePast(): void;
}

export class PastView {
  readonly element: HTMLElement;
  readonly #back: HTMLButtonElement;
  readonly #title = el("h3", { id: "past-title", dir: "auto" });
  readonly #list = el("ul");
  readonly #actions: PastActions;
  #shown: readonly unknown[] = [];

  constructor(actions: PastActions) {
    this.#actions = actions;
    this.#back = button("back", () => actions.closePast(), icon("back"));
    this.element = el(
      "div",
      { class: "past", role: "group", "aria-labelledby": "past-title" },
      el("div", "past-head", this.#back, this.#title),
      this.#list,
    );
    this.element.hidden = true;
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      // Escape closes the list alone, and not the chat under it.
      event.stopPropagation();
      actions.closePast();
    });
  }

  /** Whether it has just opened or closed. */
  render({ past, conversationId }: State, language: Language): boolean {
    const { t } = language;
    setAttribute(this.#back, "aria-label", t.back);
    setText(this.#title, t.conversations);
    const made = [past, conversationId, language];
    const isTurned = this.element.hidden !== (past === null);
    this.element.hidden = past === null;
    if (past !== null && made.some((part, i) => part !== this.#shown[i])) {
      this.#shown = made;
      this.#list.replaceChildren(...past.map((one) => el("li", "", this.#item(one, one.id === conversationId, language))));
    }
    return isTurned;
  }

  focus(): void {
    this.#back.focus({ preventScroll: true });
  }

  #item({ id, preview, at, unread }: PastConversation, isCurrent: boolean, { t, day, time }: Language): HTMLButtonElement {
    const when = el("span", { class: "when", dir: "auto" }, `${day(at)}, ${time(at)}`);
    const words = el("span", { class: "preview", dir: "auto" }, preview);
    const item = button("menu-item past-item", () => (isCurrent ? this.#actions.closePast() : this.#actions.openConversation(id)), words, when);
    if (unread) item.append(el("span", "sr-only", t.newMessages));
    item.classList.toggle("unread", unread);
    setAttribute(item, "aria-current", isCurrent ? "true" : null);
    return item;
  }
}
