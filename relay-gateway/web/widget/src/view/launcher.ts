// The round button in the corner, its unread badge, and the greeting beside it.
import { unreadCount, type State } from "../state";
import { localised, type Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

export interface LauncherActions {
  open(): void;
  toggle(): void;
  dismissGreeting(): void;
}

export class LauncherView {
  readonly button: HTMLButtonElement;
  readonly element: HTMLElement;
  readonly #badge = el("span", { class: "badge", "aria-hidden": "true" });
  readonly #greetingText = el("span", { dir: "auto" });
  readonly #greeting: HTMLElement;
  readonly #dismiss: HTMLButtonElement;

  constructor(actions: LauncherActions, panelId: string) {
    this.button = button("launcher", () => actions.toggle(), icon("chat"), icon("chevron"), this.#badge);
    setAttribute(this.button, "aria-controls", panelId);
    this.#dismiss = button(
      "dismiss",
      () => {
        actions.dismissGreeting();
        this.button.focus();
      },
      icon("close"),
    );
    this.#greeting = el(
      "div",
      "greeting",
      button("greeting-open", () => actions.open(), this.#greetingText),
      this.#dismiss,
    );
    this.element = el("div", "corner", this.#greeting, this.button);
  }

  render(state: State, { t }: Language, showsGreeting: boolean): void {
    const unread = unreadCount(state);
    const label = state.open ? t.closeChat : unread > 0 ? `${t.openChat}, ${t.unread(unread)}` : t.openChat;
    setAttribute(this.button, "aria-label", label);
    setAttribute(this.button, "aria-expanded", String(state.open));
    setText(this.#badge, unread > 9 ? "9+" : String(unread));
    this.#badge.hidden = unread === 0 || state.open;
    const greeting = localised(state.config?.greeting ?? "", "Hello! How can we help?", t.defaultGreeting);
    setText(this.#greetingText, greeting);
    setAttribute(this.#dismiss, "aria-label", t.dismissGreeting);
    this.#greeting.hidden = !showsGreeting || state.open;
    this.element.hidden = !state.appearance.launcher;
  }
}
