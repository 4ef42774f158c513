// Where the visitor writes: grows with the text, sends on Enter, leaves input methods alone.
import { MESSAGE_CHARS } from "@chat-relay/protocol/frames";
import { typesOnScreen } from "../shape";
import type { State } from "../state";
import { localised, type Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

/** The counter appears when this few characters are left. */
const COUNT_FROM = 200;

export interface ComposerActions {
  send(content: string): void;
  /** The visitor has written: this is what stands in the field now. */
  typed(draft: string): void;
}

export class ComposerView {
  readonly element: HTMLElement;
  readonly input = el("textarea", { rows: "1", id: "input", autocomplete: "off", dir: "auto" });
  readonly #counter = el("div", { class: "counter", id: "counter" });
  readonly #submit: HTMLButtonElement;
  #blocked = false;
  #language: Language | null = null;
  readonly #actions: ComposerActions;

  constructor(actions: ComposerActions) {
    this.#actions = actions;
    this.#submit = button("send", () => this.#send(), icon("send"));
    this.element = el("div", "composer", el("div", "field", this.input, this.#submit), this.#counter);
    this.input.addEventListener("input", () => {
      this.#actions.typed(this.input.value);
      this.measure();
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || typesOnScreen()) return;
      event.preventDefault();
      this.#send();
    });
  }

  render(state: State, language: Language): void {
    const { t } = language;
    this.#blocked = state.blocked;
    this.#language = language;
    const placeholder = localised(state.config?.placeholder ?? "", "Write a message", t.defaultPlaceholder);
    setAttribute(this.input, "placeholder", placeholder);
    setAttribute(this.input, "aria-label", t.composerLabel);
    setAttribute(this.#submit, "aria-label", t.send);
    setAttribute(this.input, "enterkeyhint", typesOnScreen() ? "enter" : "send");
    this.input.readOnly = state.blocked;
    if (this.input.value !== state.draft) this.input.value = state.draft;
    this.measure();
  }

  /** Fits the height to the text, and says how much room is left. */
  measure(): void {
    const { input } = this;
    input.style.setProperty("height", "auto");
    if (input.scrollHeight > 0) input.style.setProperty("height", `${input.scrollHeight}px`);
    // As the relay counts them: an emoji is one character, or a few.
    const left = MESSAGE_CHARS - [...input.value.trim()].length;
    this.#submit.disabled = this.#blocked || left < 0 || left === MESSAGE_CHARS;
    const counts = left <= COUNT_FROM && this.#language !== null;
    this.#counter.hidden = !counts;
    setAttribute(this.#counter, "class", left < 0 ? "counter over" : "counter");
    setAttribute(this.input, "aria-invalid", left < 0 ? "true" : null);
    setAttribute(this.input, "aria-describedby", counts ? "counter" : null);
    if (counts && this.#language) {
      const { t } = this.#language;
      setText(this.#counter, left < 0 ? t.charactersOver(-left) : t.charactersLeft(left));
    }
  }

  #send(): void {
    if (this.#submit.disabled) return;
    this.#actions.send(this.input.value.trim());
    this.measure();
    this.input.focus();
  }
}
