// One row of the conversation as DOM. Rows are updated in place: a live region announces what is replaced.
import { withLinks } from "../links";
import type { Language } from "../text";
import { Avatar } from "./avatar";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";
import type { BubbleRow, LineRow } from "./timeline";

export interface RowActions {
  retry(clientId: string): void;
  discard(clientId: string): void;
}

export class LineView {
  readonly element = el("div", { dir: "auto" });

  update({ kind, text }: LineRow): void {
    this.element.className = `line ${kind}`;
    setText(this.element, text);
  }
}

export class BubbleView {
  readonly element: HTMLElement;
  readonly #avatar = new Avatar();
  readonly #author = el("span", "sr-only");
  readonly #name = el("span", { class: "name", "aria-hidden": "true" });
  readonly #sourcesLabel = el("span", "sources-label");
  readonly #meta = el("div", "meta");
  #metaKey = "";
  #shown: readonly unknown[] = [];
  readonly #actions: RowActions;

  constructor(row: BubbleRow, actions: RowActions) {
    this.#actions = actions;
    const body = el("div", "body", this.#name, this.#author, bubble(row.content));
    if (row.sources.length > 0) body.append(this.#sources(row.sources));
    body.append(this.#meta);
    this.element = el("div", "", this.#avatar.element, body);
  }

  update(row: BubbleRow, language: Language): void {
    const { role, first, last, delivery, failure, at, face } = row;
    // Of a long conversation nearly every row is as it was: to look into the document for each of them takes long.
    const shown = [first, last, delivery, failure, at, face.name, face.imageUrl, language];
    if (shown.every((part, i) => part === this.#shown[i])) return;
    this.#shown = shown;
    const { t } = language;
    const side = role === "visitor" ? "own" : "theirs";
    setAttribute(
      this.element,
      "class",
      `row ${side}${first ? " first" : ""}${last ? " last" : ""}${delivery === null ? "" : ` ${delivery}`}`,
    );
    const name = row.face.name ?? t.chatTitle;
    setText(this.#author, `${role === "visitor" ? t.youSaid : t.said(name)} `);
    setText(this.#name, role === "agent" && first ? name : "");
    setText(this.#sourcesLabel, t.sources);
    if (role !== "visitor") this.#avatar.show(row.face);
    this.#updateMeta(row, language);
  }

  #updateMeta(row: BubbleRow, language: Language): void {
    const { t } = language;
    const key = [row.last, row.delivery, row.failure, row.at, language.locale].join();
    if (key === this.#metaKey) return;
    this.#metaKey = key;
    const { clientId } = row;
    const parts: Node[] = [];
    if (row.delivery === "failed" && clientId !== null) {
      parts.push(
        el("span", "state", icon("alert"), row.failure === "too_long" ? t.tooLong : t.notSent),
        button("link", () => this.#actions.retry(clientId), t.retry),
        button("link", () => this.#actions.discard(clientId), t.remove),
      );
    } else if (row.delivery === "sending") {
      parts.push(el("span", "state", t.sending));
    } else if (row.last && row.at !== null) {
      parts.push(el("time", { datetime: row.at }, language.time(row.at)));
      if (row.delivery === "sent") {
        parts.push(el("span", "state", icon("check"), el("span", "sr-only", t.sent)));
      }
    }
    this.#meta.replaceChildren(...parts);
  }

  #sources(titles: readonly string[]): HTMLElement {
    const list = el("ul");
    for (const title of titles) list.append(el("li", { dir: "auto" }, title));
    return el("div", "sources", this.#sourcesLabel, list);
  }
}

function bubble(content: string): HTMLElement {
  const node = el("div", { class: "bubble", dir: "auto" });
  for (const piece of withLinks(content)) {
    node.append(typeof piece === "string" ? piece : link(piece.url, piece.label));
  }
  return node;
}

function link(url: string, label: string): HTMLAnchorElement {
  return el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label);
}
