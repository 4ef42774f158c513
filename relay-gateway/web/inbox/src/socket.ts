// The socket: opened by a ticket, opened again when it breaks, and what it says.
import { relay } from "./api";

export interface Frame {
  type: string;
  [field: string]: unknown;
}

export interface SocketEvents {
  ticket(): Promise<string>;
  frame(frame: Frame): void;
  lost(): void;
  /** The relay says that the token opens nothing any more. */
  over(code: "operator_token_superseded" | "tenant_suspended"): void;
}

const LONGEST_PAUSE_MS = 15_000;
/** The relay closes a socket on which nothing is said for long: an inbox that is only looked at says what it looks at. */
const SAYS_EVERY_MS = 600_000;

export class Live {
  private socket: WebSocket | null = null;
  private attempts = 0;
  /** Counts connections: what an earlier one still brings is dropped. */
  private turn = 0;
  private watched: string | null = null;
  private timer = 0;
  private stopped = false;
  private readonly saying: number;
  private readonly events: SocketEvents;

  constructor(events: SocketEvents) {
    this.events = events;
    addEventListener("online", () => this.reconnectNow());
    // A browser without a network keeps a socket open that hears nothing.
    addEventListener("offline", () => this.distrust());
    this.saying = setInterval(() => this.say({ type: "watch", conversation_id: this.watched }), SAYS_EVERY_MS) as unknown as number;
  }

  async connect(): Promise<void> {
    if (this.stopped) return;
    this.turn += 1;
    const turn = this.turn;
    let ticket: string;
    try {
      ticket = await this.events.ticket();
    } catch {
      return turn === this.turn ? this.again() : undefined;
    }
    if (turn !== this.turn || this.stopped) return;
    const url = new URL(`api/v1/ws/operator?ticket=${ticket}`, relay);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.socket !== socket || typeof event.data !== "string") return;
      let frame: Frame;
      try {
        frame = JSON.parse(event.data) as Frame;
      } catch {
        return;
      }
      if (frame.type === "welcome") {
        this.attempts = 0;
        if (this.watched) this.say({ type: "watch", conversation_id: this.watched });
      }
      this.events.frame(frame);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.events.lost();
      if (event.code === 4401) return this.events.over("operator_token_superseded");
      if (event.code === 4403) return this.events.over("tenant_suspended");
      this.again();
    };
  }

  /** Connects at once, unless a socket is open. */
  reconnectNow(): void {
    if (this.socket || this.stopped) return;
    clearTimeout(this.timer);
    void this.connect();
  }

  /** A call did not reach the relay, so the socket may be dead too: closes it and connects again. */
  distrust(): void {
    if (this.stopped) return;
    this.turn += 1;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.events.lost();
    this.again();
  }

  private again(): void {
    if (this.stopped) return;
    this.attempts += 1;
    const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** Math.min(this.attempts, 6)) * (0.5 + Math.random() / 2);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(), pause) as unknown as number;
  }

  stop(): void {
    this.stopped = true;
    this.turn += 1;
    clearTimeout(this.timer);
    clearInterval(this.saying);
    this.socket?.close();
    this.socket = null;
  }

  watch(conversationId: string | null): void {
    this.watched = conversationId;
    this.say({ type: "watch", conversation_id: conversationId });
  }

  typing(conversationId: string): void {
    this.say({ type: "typing", conversation_id: conversationId });
  }

  private say(frame: Frame): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }
}
