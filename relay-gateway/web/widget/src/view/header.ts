// Who the visitor is talking to, and whether anybody is there.
import type { State } from "../state";
import type { Language } from "../text";
import { Avatar } from "./avatar";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";
import { MenuView, type MenuActions } from "./menu";
import { botFace, nameOf, operatorFace } from "./timeline";

export interface HeaderActions extends MenuActions {
  close(): void;
}

export class HeaderView {
  readonly element: HTMLElement;
  readonly #avatar = new Avatar();
  readonly #title = el("h2", { class: "title", dir: "auto" });
  readonly #presence = el("span", "presence");
  readonly #statusText = el("span", { dir: "auto" });
  readonly #status = el("div", "status", this.#presence, this.#statusText);
  readonly #menu: MenuView;
  readonly #close: HTMLButtonElement;

  constructor(actions: HeaderActions) {
    this.#menu = new MenuView(actions);
    this.#close = button("close", () => actions.close(), icon("close"));
    const names = el("div", "names", this.#title, this.#status);
    this.element = el("header", "header", this.#avatar.element, names, this.#menu.element, this.#close);
  }

  render(state: State, language: Language): void {
    const isWithOperator = state.status === "assigned";
    this.#avatar.show(isWithOperator ? operatorFace(state, language) : botFace(state));
    setText(this.#title, titleText(state, language));
    setText(this.#statusText, statusText(state, language));
    this.#status.hidden = state.blocked;
    setAttribute(this.#presence, "class", `presence ${presence(state)}`);
    this.#menu.render(state, language);
    setAttribute(this.#close, "aria-label", language.t.closeChat);
    this.#close.hidden = state.appearance.container !== null;
  }
}

function presence({ config, status, trouble }: State): "online" | "away" | "waiting" {
  if (trouble !== null) return "away";
  if (status === "assigned") return "online";
  if (config?.online === false) return "away";
  return status === "waiting" ? "waiting" : "online";
}

export function titleText({ config }: State, { t }: Language): string {
  return nameOf(config) ?? t.chatTitle;
}

export function statusText({ status, operator, config, trouble, expectedWaitS }: State, { t, lasting }: Language): string {
  if (trouble !== null) return trouble === "reconnecting" ? t.reconnecting : t.connecting;
  if (status === "assigned") return operator?.displayName ? t.talkingTo(operator.displayName) : t.talkingToPerson;
  if (config?.online === false) return t.offline;
  if (status === "waiting") return expectedWaitS === null ? t.waiting : t.waitingUsually(lasting(expectedWaitS));
  return status === "bot" ? t.repliesAtOnce : t.online;
}
