// First messages to choose from, under the welcome of a conversation that has not begun.
import type { State } from "../state";
import type { Language } from "../text";
import { button, el, setAttribute } from "./dom";

export interface StartersActions {
  send(content: string): void;
}

export class StartersView {
  readonly element = el("div", { class: "starters", role: "group" });
  readonly #actions: StartersActions;
  #shown: readonly string[] = [];

  constructor(actions: StartersActions) {
    this.#actions = actions;
  }

  render({ config, messages, outbox, loading, blocked }: State, { t }: Language): void {
    const isBegun = messages.length > 0 || outbox.length > 0;
    const starters = isBegun || loading || blocked ? [] : (config?.starters ?? []);
    setAttribute(this.element, "aria-label", t.starters);
    this.element.hidden = starters.length === 0;
    if (starters.length === this.#shown.length && starters.every((text, i) => text === this.#shown[i])) return;
    this.#shown = starters;
    this.element.replaceChildren(...starters.map((text) => this.#button(text)));
  }

  #button(text: string): HTMLButtonElement {
    const starter = button("starter", () => this.#actions.send(text), text);
    setAttribute(starter, "dir", "auto");
    return starter;
  }
}
