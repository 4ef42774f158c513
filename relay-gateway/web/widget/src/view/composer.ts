// Where the visitor writes: grows with the text, sends on Enter, leaves input methods alone.
import { MESSAGE_CHARS } from "@chat-relay/protocol/frames";
import { typesOnScreen } from "../shape";
import type { State } from "../state";
import { localised } from "../locale";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { FilesView, type FileActions } from "./files";
import { icon } from "./icons";

/** The counter appears when this few characters are left. */
const COUNT_FROM = 200;

export interface ComposerActions extends FileActions {
  send(content: string): void;
  /** The visitor has written: this is what stands in the field now. */
  typed(draft: string): void;
}

export class ComposerView {
  readonly element: HTMLElement;
  readonly input = el("textarea", { rows: "1", id: "input", autocomplete: "off", dir: "auto" });
  readonly #counter = el("div", { class: "counter", id: "counter" });
  readonly #submit: HTMLButtonElement;
  readonly #files: FilesView;
  readonly #chooser = el("input", { type: "file", multiple: "", hidden: "" });
  readonly #attach: HTMLButtonElement;
  #blocked = false;
  /** Whether a file has arrived, and whether one is on its way. */
  #hasFiles = false;
  #awaitsFiles = false;
  /** The visitor has sent what is in the field, and a file is still on its way. */
  #goesWithFiles = false;
  #language: Language | null = null;
  readonly #actions: ComposerActions;

  constructor(actions: ComposerActions) {
    this.#actions = actions;
    this.#submit = button("send", () => this.#send(), icon("send"));
    this.#files = new FilesView(actions);
    this.#attach = button("attach", () => this.#chooser.click(), icon("attach"));
    this.#chooser.addEventListener("change", () => {
      this.#actions.addFiles([...(this.#chooser.files ?? [])]);
      // So that the same file can be chosen again.
      this.#chooser.value = "";
    });
    const field = el("div", "field", this.#attach, this.input, this.#submit);
    this.element = el("div", "composer", this.#files.element, field, this.#chooser, this.#counter);
    this.input.addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])];
      if (pasted.length === 0 || this.#attach.hidden) return;
      // Some programs put a picture beside the text that they copy: then the text is meant.
      if (event.clipboardData?.getData("text/plain")) return;
      event.preventDefault();
      this.#actions.addFiles(pasted);
    });
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
    this.#attach.hidden = state.config?.takesFiles !== true || state.blocked;
    setAttribute(this.#attach, "aria-label", t.attach);
    this.#files.render(state.files, language);
    this.#hasFiles = state.files.some(({ attachment }) => attachment !== null);
    this.#awaitsFiles = state.files.some(({ attachment, failure }) => attachment === null && failure === null);
    if (this.input.value !== state.draft) this.input.value = state.draft;
    this.measure();
    if (!this.#goesWithFiles || this.#awaitsFiles) return;
    this.#goesWithFiles = false;
    // If a file did not arrive, the visitor decides whether the message goes without it. `#send` draws too, so it must not run within `render`.
    if (!state.files.some(({ failure }) => failure !== null)) queueMicrotask(() => this.#send(false));
  }

  /** Fits the height to the text, and says how much room is left. */
  measure(): void {
    const { input, element } = this;
    // The composer must not become smaller while it is measured: the conversation above it would become larger, and the browser would scroll it.
    element.style.setProperty("min-height", `${element.offsetHeight + 1}px`);
    input.style.setProperty("height", "auto");
    if (input.scrollHeight > 0) input.style.setProperty("height", `${input.scrollHeight}px`);
    element.style.removeProperty("min-height");
    // As the relay counts them: an emoji is one character, or a few.
    const left = MESSAGE_CHARS - [...input.value.trim()].length;
    const isEmpty = left === MESSAGE_CHARS && !this.#hasFiles;
    this.#submit.disabled = this.#blocked || left < 0 || (isEmpty && !this.#awaitsFiles);
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

  #send(byHand = true): void {
    if (this.#submit.disabled) return;
    // It goes as soon as its files have arrived, and stays in the field until then.
    this.#goesWithFiles = this.#awaitsFiles;
    if (this.#goesWithFiles) return;
    this.#actions.send(this.input.value.trim());
    this.measure();
    if (byHand) this.input.focus();
  }
}
