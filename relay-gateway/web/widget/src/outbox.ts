// Messages the relay has not acknowledged yet, kept so that neither a reload nor a dead network loses one.
import { parseAttachments, type Attachment } from "@chat-relay/protocol/message";
import { clean, moment, text } from "@chat-relay/protocol/untrusted";
import type { Storage } from "./storage";

export interface OutboxEntry {
  readonly clientId: string;
  readonly content: string;
  readonly attachments: readonly Attachment[];
  readonly createdAt: string;
  /** The conversation it was written in; `null` where the first message begins it. */
  readonly conversationId: string | null;
  /** Why the relay refused it; `null` while it is still to be sent. */
  readonly failure: string | null;
}

const PREFIX = "out:";

/**
 * One storage key an entry, so that tabs never overwrite each other's. Several tabs may send the same
 * entry: its `client_id` makes the relay answer with the same message.
 */
export class Outbox {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  load(): OutboxEntry[] {
    const entries = this.#storage.names(PREFIX).flatMap((clientId) => this.read(clientId));
    return entries.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  }

  /** The entry, or nothing where none that can be read is kept. */
  read(clientId: string): OutboxEntry[] {
    const { content, attachments, createdAt, conversationId, failure } = this.#storage.readRecord(PREFIX + clientId);
    if (typeof content !== "string") return [];
    const entry = { clientId, content: clean(content, Infinity), attachments: parseAttachments(attachments) };
    return [{ ...entry, createdAt: moment(createdAt), conversationId: text(conversationId), failure: text(failure) }];
  }

  /** Which entry a name in the storage is about. */
  idIn(name: string): string | null {
    return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : null;
  }

  save(entry: OutboxEntry): void {
    this.#storage.write(PREFIX + entry.clientId, entry);
  }

  clear(): void {
    for (const clientId of this.#storage.names(PREFIX)) this.remove(clientId);
  }

  remove(clientId: string): void {
    this.#storage.remove(PREFIX + clientId);
  }
}
