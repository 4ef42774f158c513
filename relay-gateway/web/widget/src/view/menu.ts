// The menu in the header: a person in the place of the bot, the sound for new messages, and the conversation as a file.
import type { State } from "../state";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

export interface MenuActions {
  /** Says so in the visitor's name. */
  askForPerson(content: string): void;
  toggleSound(): void;
  saveTranscript(): void;
}

export class MenuView {
  readonly element: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #person: HTMLButtonElement;
  readonly #sound: HTMLButtonElement;
  readonly #save: HTMLButtonElement;
  readonly #list: HTMLElement;
  /** What the visitor says to ask for a person. */
  #request = "";
  /** Lies under the open menu and over the rest of the panel: a click elsewhere in the panel closes the menu. */
  readonly #cover = button("menu-cover", () => this.#toggle(false));

  constructor(actions: MenuActions) {
    this.#button = button("more", () => this.#toggle(this.#list.hidden), icon("more"));
    this.#person = button(
      "menu-item",
      () => {
        this.#toggle(false);
        actions.askForPerson(this.#request);
      },
      icon("person"),
      el("span"),
    );
    this.#sound = button("menu-item", () => actions.toggleSound(), icon("check"), el("span"));
    this.#save = button(
      "menu-item",
      () => {
        this.#toggle(false);
        actions.saveTranscript();
      },
      icon("file"),
      el("span"),
    );
    this.#list = el("div", { class: "menu", id: "menu", role: "menu" }, this.#person, this.#sound, this.#save);
    this.element = el("div", "menu-place", this.#cover, this.#button, this.#list);
    setAttribute(this.#button, "aria-haspopup", "menu");
    setAttribute(this.#button, "aria-controls", "menu");
    setAttribute(this.#sound, "role", "menuitemcheckbox");
    for (const item of [this.#person, this.#save]) setAttribute(item, "role", "menuitem");
    setAttribute(this.#cover, "aria-hidden", "true");
    for (const part of [this.#cover, this.#person, this.#sound, this.#save]) setAttribute(part, "tabindex", "-1");
    this.#show(false);
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  render({ open, sound, messages, status, blocked }: State, { t }: Language): void {
    this.#request = t.askForPerson;
    setText(this.#person.lastElementChild as Element, t.askForPerson);
    // Where a person is awaited or there, nobody has to ask.
    this.#person.hidden = blocked || status === "waiting" || status === "assigned";
    setAttribute(this.#button, "aria-label", t.menu);
    setText(this.#sound.lastElementChild as Element, t.sound);
    setText(this.#save.lastElementChild as Element, t.saveTranscript);
    setAttribute(this.#sound, "aria-checked", String(sound));
    this.#save.disabled = messages.length === 0;
    if (!open) this.#show(false);
  }

  #toggle(isOpen: boolean): void {
    this.#show(isOpen);
    (isOpen ? (this.#items()[0] ?? this.#sound) : this.#button).focus();
  }

  #items(): HTMLButtonElement[] {
    return [this.#person, this.#sound, this.#save].filter(({ disabled, hidden }) => !disabled && !hidden);
  }

  #show(isOpen: boolean): void {
    this.#list.hidden = !isOpen;
    this.#cover.hidden = !isOpen;
    setAttribute(this.#button, "aria-expanded", String(isOpen));
  }

  #key(event: KeyboardEvent): void {
    const { key } = event;
    if (this.#list.hidden) {
      if (key !== "ArrowDown") return;
      this.#toggle(true);
    } else if (key === "Escape") {
      // Escape closes the menu alone, and not the chat under it.
      event.stopPropagation();
      this.#toggle(false);
    } else if (key === "Tab") {
      // The focus goes on from the menu's button.
      this.#toggle(false);
      return;
    } else {
      const items = this.#items();
      const at = items.findIndex((item) => item.matches(":focus"));
      const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[key];
      if (to === undefined) return;
      items[to % items.length]?.focus();
    }
    event.preventDefault();
  }
}
