// A line without a WebSocket, for networks that let none through: frames go by one call each, and come by calls that wait for them.
import type { ClientFrame } from "@chat-relay/protocol/frames";
import { toJson } from "@chat-relay/protocol/json";
import { record, text } from "@chat-relay/protocol/untrusted";
import { RelayError, type RelayApi } from "./http";
import { BROKEN, type Line, type LineOwner } from "./line";

const WAIT_S = 25;

/** A call that takes longer has met a dead connection. */
const ANSWERED_WITHIN_MS = (WAIT_S + 15) * 1000;

/** Between the beginnings of two polls: the relay counts each as a frame. */
const POLLED_EVERY_MS = 1000;

/** A page out of sight holds no call open, since browsers allow a site six at once for all its tabs. */
const POLLED_EVERY_MS_UNSEEN = 15_000;

/** As the relay does with a socket over which the visitor says nothing. */
const IDLE_AFTER_MS = 30 * 60_000;

export class Polling implements Line {
  isOpen = true;
  #after: string | null = null;
  /** What the last poll asked for, if it was answered with a welcome instead. */
  #inVain: string | null = null;
  #status = "";
  #conversation = "";
  /** How often a sent frame was answered by a welcome. A poll that began before is of another conversation. */
  #turns = 0;
  #spokeAt = Date.now();
  #sending: Promise<void> = Promise.resolve();
  readonly #gone = new AbortController();
  readonly #api: RelayApi;
  readonly #token: string;
  readonly #owner: LineOwner;

  constructor(api: RelayApi, token: string, owner: LineOwner) {
    this.#api = api;
    this.#token = token;
    this.#owner = owner;
    void this.#listen();
  }

  send(frame: ClientFrame): void {
    if (frame.type === "resume") {
      // The next poll asks for the same, unless the last one did in vain: the message is of another conversation.
      if (frame.after !== this.#inVain) this.#after = frame.after;
      return;
    }
    this.#spokeAt = Date.now();
    const body = toJson(frame);
    this.#sending = this.#sending.then(async () => {
      if (!this.isOpen) return;
      try {
        const answer = await this.#inTime(this.#api.sendFrame(this.#token, body, this.#gone.signal));
        if (record(answer)["type"] === "welcome") this.#turns += 1;
        if (answer !== null) this.#hear(answer);
      } catch (failure) {
        this.#end(failure);
      }
    });
  }

  close(): void {
    this.isOpen = false;
    this.#gone.abort();
  }

  async #listen(): Promise<void> {
    const { signal } = this.#gone;
    try {
      while (this.isOpen) {
        const begun = Date.now();
        if (begun - this.#spokeAt > IDLE_AFTER_MS) return this.#close(4408, "");
        const [asked, turns] = [this.#after, this.#turns];
        const { frames, after } = await this.#inTime(this.#api.pollFrames(this.#token, this.#query(), signal));
        this.#after = turns === this.#turns ? after : null;
        if (this.#after === null) continue;
        this.#inVain = frames.some((frame) => record(frame)["type"] === "welcome") ? asked : null;
        for (const frame of frames) this.#hear(frame);
        await untilSeen(isSeen() ? begun + POLLED_EVERY_MS - Date.now() : POLLED_EVERY_MS_UNSEEN, signal);
      }
    } catch (failure) {
      this.#end(failure);
    }
  }

  async #inTime<T>(call: Promise<T>): Promise<T> {
    const timer = window.setTimeout(() => this.#close(BROKEN, ""), ANSWERED_WITHIN_MS);
    try {
      return await call;
    } finally {
      clearTimeout(timer);
    }
  }

  #query(): Record<string, string> {
    if (this.#after === null) return {};
    return { after: this.#after, status: this.#status, conversation_id: this.#conversation, wait_s: isSeen() ? String(WAIT_S) : "0" };
  }

  #hear(frame: unknown): void {
    if (!this.isOpen) return;
    const { status, conversation_id: conversation } = record(frame);
    this.#status = text(status) ?? this.#status;
    this.#conversation = text(conversation) ?? this.#conversation;
    this.#owner.heard(frame);
  }

  #end(failure: unknown): void {
    if (!(failure instanceof RelayError)) return this.#close(BROKEN, "");
    const { status, code, message } = failure;
    if (code === "invalid_visitor_token") this.#close(4401, "");
    else if (status === 401 || status === 403) this.#close(4403, `${code}: ${message}`);
    else if (status === 413) this.#close(4413, "");
    else if (status === 429) this.#close(4429, "");
    // A relay of an earlier version knows no such calls.
    else this.#close(failure.transient ? 1013 : BROKEN, "");
  }

  #close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.close();
    this.#owner.closed(code, reason);
  }
}

function isSeen(): boolean {
  return document.visibilityState === "visible";
}

/** Waits this long, or until the page comes into sight, or nobody waits any more. */
function untilSeen(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const seen = (): void => {
      if (isSeen()) end();
    };
    const end = (): void => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = window.setTimeout(end, ms);
    document.addEventListener("visibilitychange", seen);
    signal.addEventListener("abort", end);
  });
}
