// The events of window.ChatRelay: a listener that throws harms nobody else.
import { tellOnConsole } from "./advice";
import type { ConversationStatus, Role } from "@chat-relay/protocol/frames";

export interface EventMap {
  ready: Readonly<Record<string, never>>;
  open: Readonly<Record<string, never>>;
  close: Readonly<Record<string, never>>;
  message: { readonly role: Role; readonly content: string };
  unread: { readonly count: number };
  status: { readonly status: ConversationStatus; readonly operator: { readonly display_name: string | null } | null };
  error: { readonly error_code: string; readonly message: string };
}

export type EventName = keyof EventMap;
export type Listener<K extends EventName> = (detail: EventMap[K]) => void;

export class Emitter {
  readonly #listeners = new Map<EventName, Set<(detail: never) => void>>();
  #isReady = false;

  on<K extends EventName>(name: K, listener: Listener<K>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    if (name === "ready" && this.#isReady) guarded(listener, {} as EventMap[K]);
    return () => void listeners.delete(listener);
  }

  emit<K extends EventName>(name: K, detail: EventMap[K]): void {
    if (name === "ready") this.#isReady = true;
    for (const listener of [...(this.#listeners.get(name) ?? [])]) guarded(listener as Listener<K>, detail);
  }
}

function guarded<K extends EventName>(listener: Listener<K>, detail: EventMap[K]): void {
  try {
    listener(detail);
  } catch (failure) {
    tellOnConsole("a listener failed:", failure);
  }
}
