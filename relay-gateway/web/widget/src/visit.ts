// What one tab keeps of a visit: the open panel, the draft and the files beside it, for as long as the same visitor uses the browser.
import type { Sessions } from "./session";
import type { Storage } from "./storage";

const KEPT = ["open", "draft", "files"] as const;
const VISITOR_KEY = "visitor";

export class Visit {
  readonly #tab: Storage;
  readonly #sessions: Sessions;
  /** The visitor whose words are in this page; empty while there are no words. */
  #visitor = "";

  constructor(tab: Storage, sessions: Sessions) {
    this.#tab = tab;
    this.#sessions = sessions;
  }

  /** To be called before anything is read: forgets what the tab keeps of a visitor who has signed out since. */
  begin(): void {
    this.#visitor = this.#sessions.visitor();
    if (this.#tab.read(VISITOR_KEY) !== this.#visitor) this.#forget();
  }

  /** Whether the panel was left open, or closed; `null` where the visitor has done neither. */
  get wasOpen(): boolean | null {
    const open = this.#tab.read("open");
    return typeof open === "boolean" ? open : null;
  }

  get draft(): string {
    return String(this.#tab.read("draft") ?? "");
  }

  get files(): unknown {
    return this.#tab.read("files");
  }

  keep(name: (typeof KEPT)[number], value: unknown): void {
    this.beginWords();
    this.#tab.write(VISITOR_KEY, this.#visitor);
    this.#tab.write(name, value);
  }

  /** To be called before the visitor's words are kept anywhere or sent: from now on the page can tell when another visitor comes. */
  beginWords(): void {
    this.#visitor = this.#sessions.nameVisitor();
  }

  /**
   * Whether another visitor uses the browser now than the one of this page. While nothing of a visitor is in the page, a new name is taken over
   * without a reset: two tabs that open the chat in one moment may name the same visitor differently.
   */
  isAnothers(hasVisitorData: boolean): boolean {
    const now = this.#sessions.visitor();
    const isAnother = hasVisitorData && this.#visitor !== "" && this.#visitor !== now;
    if (!isAnother) this.#visitor = now;
    return isAnother;
  }

  end(): void {
    this.#visitor = "";
    this.#forget();
  }

  #forget(): void {
    for (const name of KEPT) this.#tab.remove(name);
  }
}
