// The round button in the corner, its unread badge, and beside it the greeting or a preview of what is unread.
import { blocks, plainText } from "../markdown";
import { previewed, unreadCount, type State } from "../state";
import { localised } from "../locale";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";
import { botFace, operatorFace } from "./timeline";

export interface LauncherActions {
  open(): void;
  toggle(): void;
  dismissGreeting(): void;
}

export class LauncherView {
  readonly button: HTMLButtonElement;
  readonly element: HTMLElement;
  readonly #badge = el("span", { class: "badge", "aria-hidden": "true" });
  readonly #sayer = el("span", { class: "sayer", dir: "auto" });
  readonly #greetingText = el("span", { class: "said", dir: "auto" });
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
      button("greeting-open", () => actions.open(), this.#sayer, this.#greetingText),
      this.#dismiss,
    );
    this.element = el("div", "corner", this.#greeting, this.button);
  }

  /** `settled`: the page has been open for a moment, so a greeting does not jump at the visitor. */
  render(state: State, language: Language, settled: boolean): void {
    const { t } = language;
    const unread = unreadCount(state);
    const label = state.open ? t.closeChat : unread > 0 ? `${t.openChat}, ${t.unread(unread)}` : t.openChat;
    setAttribute(this.button, "aria-label", label);
    setAttribute(this.button, "aria-expanded", String(state.open));
    setText(this.#badge, unread > 9 ? "9+" : String(unread));
    this.#badge.hidden = unread === 0 || state.open;
    const greeting = localised(state.config?.greeting ?? "", "Hello! How can we help?", t.defaultGreeting);
    const preview = state.open ? null : previewed(state);
    const sayer = preview?.role === "agent" ? operatorFace(state, language) : botFace(state);
    setText(this.#sayer, preview === null ? "" : (sayer.name ?? t.chatTitle));
    setText(this.#greetingText, preview === null ? greeting : plainText(blocks(preview.content)));
    setAttribute(this.#dismiss, "aria-label", t.dismissGreeting);
    this.#greeting.hidden = !settled || state.open || state.blocked || (preview === null && (!state.mayGreet || state.messages.length > 0));
    this.element.hidden = !state.appearance.launcher || state.appearance.container !== null;
  }
}
