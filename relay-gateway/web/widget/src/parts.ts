// What the parts of one widget work with.
import type { Connection } from "./connection";
import type { RelayApi } from "./http";
import type { Model } from "./model";
import type { Options } from "./options";
import type { Outbox } from "./outbox";
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
  /** Ends the wait between two attempts to get a configuration. */
  endWait: () => void;
}
