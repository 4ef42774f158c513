// What the chat has kept in the browser, as far as the loader must know it: whether there is something to go on with, and how all of it is
// forgotten where a visitor signs out before the chat has come.
import { record, text } from "@chat-relay/protocol/untrusted";
import type { Start } from "../options";

/** What says nothing of the visitor's conversation stays. */
const STAYS = /^(opened|greeted|carrier|left)$/;

const AREAS = ["localStorage", "sessionStorage"] as const;

export class Kept {
  readonly #start: string;

  constructor({ tenantId, publicKey }: Start) {
    this.#start = `chat-relay:${tenantId}:${publicKey}:`;
  }

  read(area: (typeof AREAS)[number], name: string): unknown {
    try {
      return JSON.parse(window[area].getItem(this.#start + name) ?? "null");
    } catch {
      return null;
    }
  }

  write(area: (typeof AREAS)[number], name: string, value: number | boolean): void {
    try {
      window[area].setItem(this.#start + name, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing asks again on the next page.
    }
  }

  /** Whom the session that is kept was told to be; empty where nobody. */
  get identified(): string {
    return text(record(record(this.read("localStorage", "session"))["identity"])["visitor"]) ?? "";
  }

  /** Whether a visitor has a session, something unsent, or an open panel here. */
  holdsChat(): boolean {
    return this.read("sessionStorage", "open") === true || this.#names("localStorage").some((name) => /^(session$|out:)/.test(name));
  }

  get token(): string | null {
    return text(record(this.read("localStorage", "session"))["visitor_token"]);
  }

  /** How the browser knows the visitor: by a name, where it has one, and by when somebody has last signed out. */
  get visitor(): string {
    return `${this.read("localStorage", "visitor") ?? ""}/${this.read("localStorage", "left") ?? ""}`;
  }

  forget(): void {
    this.write("localStorage", "left", Date.now());
    for (const area of AREAS) {
      // The visitor's name goes first: by that, a tab that is about to write a session knows that the visitor has gone.
      for (const name of this.#names(area).sort().reverse()) {
        if (!STAYS.test(name)) window[area].removeItem(this.#start + name);
      }
    }
  }

  #names(area: (typeof AREAS)[number]): string[] {
    try {
      const keys = Object.keys(window[area]).filter((key) => key.startsWith(this.#start));
      return keys.map((key) => key.slice(this.#start.length));
    } catch {
      return [];
    }
  }
}
