// What outlives a page view. Browsers may refuse storage at any call; then memory has to do.
import { toJson } from "@chat-relay/protocol/json";
import { record } from "@chat-relay/protocol/untrusted";

const PREFIX = "chat-relay";

function area(kind: "localStorage" | "sessionStorage"): globalThis.Storage | null {
  try {
    return window[kind];
  } catch {
    return null;
  }
}

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
    const raw = toJson(value);
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

  /** Which name another tab changed; `null` for all of them at once, and `undefined` where the event is about something else. */
  changedName({ key, storageArea }: StorageEvent): string | null | undefined {
    if (key === null) return storageArea === area(this.#kind) ? null : undefined;
    return key.startsWith(this.#namespace) ? key.slice(this.#namespace.length) : undefined;
  }
}
