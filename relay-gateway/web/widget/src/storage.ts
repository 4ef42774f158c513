// What outlives a page view. Browsers may refuse storage at any call; then memory has to do.
import { record } from "@chat-relay/protocol/untrusted";

const PREFIX = "chat-relay";

/** A namespace in localStorage or sessionStorage: JSON values which never throw. */
export class Storage {
  readonly #memory = new Map<string, string>();
  readonly #namespace: string;
  readonly #kind: "localStorage" | "sessionStorage";

  constructor(kind: "localStorage" | "sessionStorage", tenantId: string, publicKey: string) {
    this.#kind = kind;
    this.#namespace = `${PREFIX}:${tenantId}:${publicKey}:`;
  }

  read(name: string): unknown {
    const key = this.#namespace + name;
    let raw = this.#memory.get(key) ?? null;
    try {
      raw ??= window[this.#kind].getItem(key);
      return raw === null ? null : JSON.parse(raw);
    } catch {
      return null;
    }
  }

  readRecord(name: string): Readonly<Record<string, unknown>> {
    return record(this.read(name));
  }

  write(name: string, value: unknown): void {
    const key = this.#namespace + name;
    const raw = JSON.stringify(value);
    try {
      window[this.#kind].setItem(key, raw);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, raw);
    }
  }

  remove(name: string): void {
    const key = this.#namespace + name;
    this.#memory.delete(key);
    try {
      window[this.#kind].removeItem(key);
    } catch {
      // Nothing was stored where nothing can be removed.
    }
  }

  /** The names under `prefix`, without it. */
  names(prefix: string): string[] {
    const start = this.#namespace + prefix;
    let keys = [...this.#memory.keys()];
    try {
      keys = keys.concat(Object.keys(window[this.#kind]));
    } catch {
      // Only memory is left.
    }
    return keys.filter((key) => key.startsWith(start)).map((key) => key.slice(start.length));
  }

  /** Tells which name another tab changed, where the event is about this namespace. */
  changedName(event: StorageEvent): string | null {
    return event.key?.startsWith(this.#namespace) ? event.key.slice(this.#namespace.length) : null;
  }
}
