// One row of the conversation as DOM. Rows are updated in place: a live region announces what is replaced.
import { withLinks } from "../links";
import { blocks, type Block, type Inline } from "../markdown";
import type { Source } from "@chat-relay/protocol/message";
import type { Language } from "../text";
import { Avatar } from "./avatar";
import { button, el, setAttribute, setText } from "./dom";
import { ELSEWHERE, attached, saysOnlyNames } from "./files";
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

  constructor(row: BubbleRow, actions: RowActions, language: Language) {
    this.#actions = actions;
    const body = el("div", "body", this.#name, this.#author);
    if (!saysOnlyNames(row.content, row.attachments)) body.append(bubble(row));
    if (row.attachments.length > 0) body.append(attached(row.attachments, language));
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

  #sources(sources: readonly Source[]): HTMLElement {
    const list = el("ol");
    for (const { title, url } of sources) {
      const label = el("span", { dir: "auto" }, title);
      list.append(el("li", "", url === null ? label : el("a", { href: url, ...ELSEWHERE }, label)));
    }
    return el("div", "sources", this.#sourcesLabel, list);
  }
}

/** A visitor's own words stay as they were typed. */
function bubble({ role, content }: BubbleRow): HTMLElement {
  const node = el("div", { class: "bubble", dir: "auto" });
  if (role === "visitor") node.append(...withLinks(content).map(inlineNode));
  else node.append(...blocks(content).map(blockNode));
  return node;
}

function blockNode(block: Block): HTMLElement {
  switch (block.kind) {
    case "text":
      return el("div", "", ...block.inner.map(inlineNode));
    case "code":
      // Code is written from left to right in every language.
      return el("pre", { dir: "ltr", tabindex: "0" }, el("code", "", block.text));
    case "list": {
      const items = block.items.map((item) => el("li", "", ...item.map(inlineNode)));
      return block.start === null ? el("ul", "", ...items) : el("ol", { start: String(block.start) }, ...items);
    }
  }
}

function inlineNode(piece: Inline): Node | string {
  if (typeof piece === "string") return piece;
  if ("url" in piece) return el("a", { href: piece.url, ...ELSEWHERE }, piece.label);
  return el(piece.tag, "", ...piece.inner.map(inlineNode));
}
