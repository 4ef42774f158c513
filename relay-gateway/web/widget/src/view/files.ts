// Files as DOM: those in hand beside the field, and those of a message in its bubble.
import type { Attachment } from "@chat-relay/protocol/message";
import type { FileInHand } from "../files";
import type { Language } from "../text";
import { button, el, setAttribute, setText } from "./dom";
import { icon } from "./icons";

/** The pictures that every browser draws, and the relay serves as such. */
const PICTURES = ["image/png", "image/jpeg", "image/webp", "image/gif"];

export interface FileActions {
  addFiles(chosen: readonly File[]): void;
  removeFile(key: string): void;
  retryFile(key: string): void;
}

/** A link leaves the visitor's page where it is, and tells nothing of it. */
export const ELSEWHERE = { target: "_blank", rel: "noopener noreferrer" };

/** The files of a message: pictures as pictures, others by their names. */
export function attached(attachments: readonly Attachment[], { bytes }: Language): HTMLElement {
  const list = el("ul", "attached");
  for (const { url, mime, name = url, size } of attachments) {
    const link = el("a", { href: url, ...ELSEWHERE, dir: "auto" });
    if (PICTURES.includes(mime)) {
      link.className = "shown";
      const picture = el("img", { src: url, alt: name, "loading": "lazy", decoding: "async", referrerpolicy: "no-referrer" });
      // A picture that cannot be had is a link by its name.
      picture.addEventListener("error", () => {
        link.className = "";
        link.replaceChildren(icon("file"), el("span", "", name));
      });
      link.append(picture);
    } else link.append(icon("file"), el("span", "", name), el("span", "size", bytes(size)));
    list.append(el("li", "", link));
  }
  return list;
}

/** Whether a message says nothing but what its files are called. */
export function saysOnlyNames(content: string, attachments: readonly Attachment[]): boolean {
  return attachments.length > 0 && content === attachments.map(({ name = "file" }) => name).join(", ");
}

/** The files in hand. Rows are kept by key: one that is read out, or has the focus, must not be made anew with each step of its progress. */
export class FilesView {
  readonly element = el("ul", "in-hand");
  readonly #rows = new Map<string, InHandView>();
  readonly #actions: FileActions;

  constructor(actions: FileActions) {
    this.#actions = actions;
  }

  render(files: readonly FileInHand[], language: Language): void {
    this.element.hidden = files.length === 0;
    setAttribute(this.element, "aria-label", language.t.files);
    const keys = new Set(files.map(({ key }) => key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    for (const file of files) {
      const row = this.#rows.get(file.key) ?? new InHandView(file.key, this.#actions);
      if (!this.#rows.has(file.key)) this.element.append(row.element);
      this.#rows.set(file.key, row);
      row.update(file, language);
    }
  }
}

class InHandView {
  readonly element: HTMLElement;
  readonly #name = el("span", { class: "file-name", dir: "auto" });
  readonly #state = el("span", { class: "file-state", role: "status" });
  readonly #progress = el("progress", { max: "1" });
  readonly #retry: HTMLButtonElement;
  readonly #remove: HTMLButtonElement;

  constructor(key: string, actions: FileActions) {
    this.#retry = button("link", () => actions.retryFile(key));
    this.#remove = button("remove", () => actions.removeFile(key), icon("close"));
    this.element = el("li", "", icon("file"), this.#name, this.#progress, this.#state, this.#retry, this.#remove);
  }

  update({ name, progress, attachment, failure }: FileInHand, { t }: Language): void {
    setText(this.#name, name);
    this.element.classList.toggle("failed", failure !== null);
    this.#progress.hidden = attachment !== null || failure !== null;
    this.#progress.value = progress;
    setAttribute(this.#progress, "aria-label", t.sending);
    setText(this.#state, failure !== null ? refusal(failure, t) : attachment !== null ? t.fileReady : "");
    this.#retry.hidden = failure !== "unreachable";
    setText(this.#retry, t.retry);
    setAttribute(this.#remove, "aria-label", t.removeFile(name));
  }
}

function refusal(code: string, t: Language["t"]): string {
  switch (code) {
    case "body_too_large":
      return t.fileTooLarge;
    case "unsupported_media_type":
      return t.fileType;
    case "unreachable":
      return t.notSent;
    default:
      return t.fileRefused;
  }
}
