// What the parts of one widget work with.
import type { Connection } from "./connection";
import type { RelayApi } from "./http";
import type { Model } from "./model";
import type { Options } from "./options";
import type { Outbox } from "./outbox";
import type { Session } from "./protocol";
import type { Storage } from "./storage";
import type { Timers } from "./timers";

export interface Parts extends Model {
  readonly options: Options;
  readonly api: RelayApi;
  readonly connection: Connection;
  readonly timers: Timers;
  readonly local: Storage;
  readonly outbox: Outbox;
  /** Aborted once the widget is taken out of the page. */
  readonly gone: AbortSignal;
  /** What the developer was told already. */
  readonly told: Set<string>;
  /** Forgets the visitor in this page, if another one uses the browser now. */
  checkVisitor(): boolean;
  /** Asks again for a page that was refused, where the chat is always open. */
  recheck(): void;
  /** Waits for the words of the visitor's language, though not for long. */
  obtainWords(): Promise<void>;
  /** The session, with another token where this one was refused. */
  obtainSession(rejectedToken: string | null): Promise<Session>;
  /** Keeps the files that have arrived, for the next page of the visit. */
  keepFiles(): void;
  /** The relay's answer to the question for the configuration, where it has come already: it is used once. */
  answered: unknown;
  /** Ends the wait between two attempts to get a configuration. */
  endWait: () => void;
}
