// The menu in the header: a person in the place of the bot, other conversations, the sound for new messages, and the conversation as a file.
import type { State } from "../state";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

export interface MenuActions {
  /** Says a text that is ready-made, and keeps what the visitor writes. */
  say(content: string): void;
  /** Goes to a conversation, or to a new one. */
  openConversation(id: string | null): void;
  listConversations(): void;
  toggleSound(): void;
  saveTranscript(): void;
}

export class MenuView {
  readonly element: HTMLElement;
  readonly #button: HTMLButtonElement;
  readonly #person: HTMLButtonElement;
  readonly #new: HTMLButtonElement;
  readonly #past: HTMLButtonElement;
  readonly #sound: HTMLButtonElement;
  readonly #save: HTMLButtonElement;
  readonly #all: readonly HTMLButtonElement[];
  readonly #list: HTMLElement;
  /** What the visitor says to ask for a person. */
  #request = "";
  /** Lies under the open menu and over the rest of the panel: a click elsewhere in the panel closes the menu. */
  readonly #cover = button("menu-cover", () => this.#toggle(false));

  constructor(actions: MenuActions) {
    const item = (name: Parameters<typeof icon>[0], act: () => void): HTMLButtonElement =>
      button(
        "menu-item",
        () => {
          this.#toggle(false);
          act();
        },
        icon(name),
        el("span"),
      );
    this.#button = button("more", () => this.#toggle(this.#list.hidden), icon("more"));
    this.#person = item("person", () => actions.say(this.#request));
    this.#new = item("plus", () => actions.openConversation(null));
    this.#past = item("list", () => actions.listConversations());
    // The menu stays open, and shows that the sound is on.
    this.#sound = button("menu-item", () => actions.toggleSound(), icon("check"), el("span"));
    this.#save = item("file", () => actions.saveTranscript());
    this.#all = [this.#person, this.#new, this.#past, this.#sound, this.#save];
    this.#list = el("div", { class: "menu", id: "menu", role: "menu" }, ...this.#all);
    this.element = el("div", "menu-place", this.#cover, this.#button, this.#list);
    setAttribute(this.#button, "aria-haspopup", "menu");
    setAttribute(this.#button, "aria-controls", "menu");
    for (const one of this.#all) setAttribute(one, "role", one === this.#sound ? "menuitemcheckbox" : "menuitem");
    setAttribute(this.#cover, "aria-hidden", "true");
    for (const part of [this.#cover, ...this.#all]) setAttribute(part, "tabindex", "-1");
    this.#show(false);
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  render({ open, sound, messages, status, blocked, mayOpen, trouble }: State, { t }: Language): void {
    this.#request = t.askForPerson;
    const texts = [t.askForPerson, t.newConversation, t.conversations, t.sound, t.saveTranscript];
    for (const [index, one] of this.#all.entries()) setText(one.lastElementChild as Element, texts[index] as string);
    // Where a person is awaited or there, nobody has to ask.
    this.#person.hidden = blocked || status === "waiting" || status === "assigned";
    this.#new.hidden = this.#past.hidden = blocked || !mayOpen;
    this.#past.disabled = trouble !== null;
    this.#new.disabled = this.#past.disabled || !messages.some(({ role }) => role === "visitor");
    setAttribute(this.#button, "aria-label", t.menu);
    setAttribute(this.#sound, "aria-checked", String(sound));
    this.#save.disabled = messages.length === 0;
    if (!open) this.#show(false);
  }

  #toggle(isOpen: boolean): void {
    this.#show(isOpen);
    (isOpen ? (this.#items()[0] ?? this.#sound) : this.#button).focus();
  }

  #items(): HTMLButtonElement[] {
    return this.#all.filter(({ disabled, hidden }) => !disabled && !hidden);
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
