// What carries frames between a page and the relay: a WebSocket, or calls in its place. A connection cannot tell them apart.
import type { ClientFrame } from "@chat-relay/protocol/frames";

export type Carrier = "socket" | "http";

export interface Line {
  readonly isOpen: boolean;
  send(frame: ClientFrame): void;
  close(): void;
}

/** Who is told what comes over a line. */
export interface LineOwner {
  heard(data: unknown): void;
  /** The line is over, for good. The codes are those of a WebSocket. */
  closed(code: number, reason: string): void;
}

/** What browsers say of a connection that broke, or never was. */
export const BROKEN = 1006;
