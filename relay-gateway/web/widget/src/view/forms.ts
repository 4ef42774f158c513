// The forms after the last message: a rating of a resolved conversation, and an address for answers while the visitor waits for a person.
import { EMAIL_CHARS, RATING_COMMENT_CHARS, RATING_SCORE } from "@chat-relay/protocol/frames";
import type { State } from "../state";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

export interface FormsActions {
  rate(score: number, comment: string): void;
  leaveEmail(email: string): void;
}

/** A form of one line: a label, a field, a button. */
class LineForm {
  readonly input: HTMLInputElement;
  readonly element: HTMLFormElement;
  readonly #label = el("span");
  readonly #submit = el("button", { type: "submit", class: "send" }, icon("send"));

  constructor(attributes: Readonly<Record<string, string>>, onSend: (text: string) => void) {
    this.input = el("input", { dir: "auto", ...attributes });
    this.element = el("form", { novalidate: "" }, el("label", "", this.#label, this.input), this.#submit);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      if (text === "") return;
      this.input.value = "";
      onSend(text);
    });
  }

  render(label: string, send: string): void {
    setText(this.#label, label);
    setAttribute(this.#submit, "aria-label", send);
  }
}

export class FormsView {
  readonly element = el("div", "forms");
  readonly #title = el("p", { id: "rate" });
  readonly #stars: HTMLButtonElement[];
  readonly #comment: LineForm;
  readonly #said = el("p", { class: "said", dir: "auto", tabindex: "-1" });
  readonly #rating: HTMLElement;
  readonly #address: LineForm;
  readonly #refused = el("p", { class: "refused", id: "refused", role: "alert" });
  readonly #kept = el("p", { dir: "auto", tabindex: "-1" });
  readonly #change: HTMLButtonElement;
  readonly #email: HTMLElement;
  /** The visitor's score and comment. A change of either sends both. */
  #score = 0;
  #words = "";
  #changes = false;
  #refusedEmail: string | null = null;

  constructor(actions: FormsActions, onChange: () => void) {
    this.#stars = [];
    for (let score = 1; score <= RATING_SCORE; score += 1) {
      this.#stars.push(button("star", () => actions.rate(score, this.#words), icon("star")));
    }
    this.#comment = new LineForm({ maxlength: String(RATING_COMMENT_CHARS), autocomplete: "off" }, (text) => {
      actions.rate(this.#score, text);
      this.#said.focus();
    });
    const stars = el("div", { class: "stars", role: "group", "aria-labelledby": "rate" }, ...this.#stars);
    this.#rating = el("div", "form", this.#title, stars, this.#comment.element, this.#said);
    this.#address = new LineForm({ type: "email", autocomplete: "email", maxlength: String(EMAIL_CHARS) }, (text) => {
      this.#changes = false;
      actions.leaveEmail(text);
      this.#kept.focus();
    });
    this.#change = button("link", () => {
      this.#changes = true;
      onChange();
      this.#address.input.focus();
    });
    this.#email = el("div", "form", this.#address.element, this.#refused, this.#kept, this.#change);
    this.element.append(this.#rating, this.#email);
  }

  render(state: State, { t }: Language): void {
    // What the visitor before has begun to write is nobody else's to send.
    if (state.sessionId === null) for (const { input } of [this.#comment, this.#address]) input.value = "";
    const waiting = state.forms.find((form) => form.type === "rate");
    const rating = waiting ?? state.rating;
    this.#score = rating?.score ?? 0;
    const isRated = rating !== null;
    this.#rating.hidden = state.status !== "resolved" || !state.mayRate || state.blocked;
    setText(this.#title, isRated ? t.thanks : t.rateTitle);
    for (const [index, star] of this.#stars.entries()) {
      setAttribute(star, "aria-label", t.scoreOf(index + 1, RATING_SCORE));
      setAttribute(star, "aria-pressed", String(index + 1 === this.#score));
      star.classList.toggle("full", index < this.#score);
    }
    const comment = rating?.comment ?? null;
    this.#words = comment ?? "";
    this.#comment.render(t.rateComment, t.send);
    this.#comment.element.hidden = !isRated || comment !== null;
    setText(this.#said, comment === null ? "" : `“${comment}”`);

    const awaitsPerson = state.status === "waiting" || state.status === "assigned";
    const leaving = state.forms.find((form) => form.type === "leave_email");
    const email = leaving?.email ?? state.email;
    this.#email.hidden =
      !awaitsPerson || !state.mayLeaveEmail || state.blocked || !state.messages.some(({ role }) => role === "visitor");
    const asks = email === null || this.#changes || state.refusedEmail !== null;
    const hadFocus = this.#email.contains((this.element.getRootNode() as ShadowRoot).activeElement);
    this.#address.render(t.emailLabel, t.send);
    this.#address.element.hidden = !asks;
    const isRefused = state.refusedEmail !== null;
    setText(this.#refused, isRefused ? t.emailRefused : "");
    setAttribute(this.#address.input, "aria-invalid", isRefused ? "true" : null);
    setAttribute(this.#address.input, "aria-describedby", isRefused ? "refused" : null);
    if (state.refusedEmail !== this.#refusedEmail) {
      this.#refusedEmail = state.refusedEmail;
      // The field shows the refused address again, so that the visitor can correct it.
      if (state.refusedEmail !== null) {
        this.#address.input.value = state.refusedEmail;
        if (hadFocus) this.#address.input.focus();
      }
    }
    setText(this.#kept, asks ? "" : t.emailKept(email ?? ""));
    setText(this.#change, t.change);
    this.#change.hidden = asks;
    this.element.hidden = this.#rating.hidden && this.#email.hidden;
  }
}
