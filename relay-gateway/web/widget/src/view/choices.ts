// What the visitor may say by a click, below the newest message: first messages, quick replies, and whether an answer helped.
import { feedbackOf, unseenOutbox, type State } from "../state";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";

export interface ChoicesActions {
  send(content: string): void;
  /** Says a text that is ready-made, and keeps what the visitor writes. */
  say(content: string): void;
  judge(messageId: string, isHelpful: boolean): void;
}

export class ChoicesView {
  readonly element: HTMLElement;
  readonly #question = el("span", { dir: "auto", "aria-live": "polite" });
  readonly #yes: HTMLButtonElement;
  readonly #no: HTMLButtonElement;
  readonly #help: HTMLElement;
  readonly #replies = el("div", { class: "starters", role: "group" });
  readonly #actions: ChoicesActions;
  #shown = "";
  #judged = "";

  constructor(actions: ChoicesActions) {
    this.#actions = actions;
    this.#yes = button("starter", () => actions.judge(this.#judged, true));
    this.#no = button("starter", () => actions.judge(this.#judged, false));
    this.#help = el("div", { class: "help", role: "group" }, this.#question, this.#yes, this.#no);
    this.element = el("div", "choices", this.#help, this.#replies);
  }

  render(state: State, { t }: Language): void {
    const { config, messages, loading, blocked, status, typing } = state;
    const isQuiet = unseenOutbox(state).length === 0 && typing === null && !loading && !blocked;
    const newest = messages[messages.length - 1];
    const said = isQuiet && newest ? feedbackOf(state, newest) : null;
    this.#judged = newest?.id ?? "";
    this.#help.hidden = said === null;
    this.#yes.hidden = this.#no.hidden = said !== "asked";
    setText(this.#question, said === "asked" ? t.didThatHelp : t.feedbackThanks);
    setText(this.#yes, t.yes);
    setText(this.#no, t.no);
    setAttribute(this.#help, "aria-label", t.didThatHelp);

    const asksForPerson = said === "unhelpful" && status === "bot" ? [t.askForPerson] : [];
    const replies = newest ? [...asksForPerson, ...newest.quickReplies] : (config?.starters ?? []);
    this.#offer(isQuiet ? replies : [], newest !== undefined);
    setAttribute(this.#replies, "aria-label", newest ? t.quickReplies : t.starters);
    this.element.hidden = this.#help.hidden && this.#replies.hidden;
  }

  #offer(texts: readonly string[], isReply: boolean): void {
    const key = [isReply, ...texts].join("\n");
    this.#replies.hidden = texts.length === 0;
    if (key === this.#shown) return;
    this.#shown = key;
    const say = (text: string): void => (isReply ? this.#actions.say(text) : this.#actions.send(text));
    this.#replies.replaceChildren(
      ...texts.map((text) => {
        const choice = button("starter", () => say(text), text);
        setAttribute(choice, "dir", "auto");
        return choice;
      }),
    );
  }
}
