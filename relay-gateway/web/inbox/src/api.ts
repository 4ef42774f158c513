// Calls to the relay, each with the operator's token.
import type { CannedReply, Colleague, Conversation, Counts, Entry, Me, Opened, Queue, Queued } from "./model";

/** Where the relay is: beside the page, under whatever path it is published. */
export const relay = new URL(".", location.href);

/** A call that was refused, or that got no answer. */
export class Failed extends Error {
  /** 0 where nothing answered. */
  readonly status: number;
  readonly code: string;
  /** Who has the conversation, where somebody else was faster. */
  readonly holder: string | null;

  constructor(status: number, code: string, message: string, holder: string | null) {
    super(message);
    this.status = status;
    this.code = code;
    this.holder = holder;
  }

  /** Whether the same call would be refused again. Otherwise nothing answered, or the relay could not serve it now. */
  get isRefusal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 429 && !this.isOver;
  }

  /** Whether the token opens nothing any more. */
  get isOver(): boolean {
    return ["invalid_operator_token", "operator_token_superseded", "tenant_suspended"].includes(this.code);
  }
}

interface Answer {
  data?: unknown;
  error_code?: string;
  message?: string;
  operator?: { display_name?: string };
}

export class Api {
  private token: string;
  private readonly onOver: (code: string) => void;

  constructor(token: string, onOver: (code: string) => void) {
    this.token = token;
    this.onOver = onOver;
  }

  use(token: string): void {
    this.token = token;
  }

  private async call<T>(method: string, path: string, query: Record<string, string>, body?: unknown): Promise<T> {
    const search = new URLSearchParams(query).toString();
    const headers: Record<string, string> = { authorization: `Bearer ${this.token}` };
    if (body !== undefined) headers["content-type"] = "application/json";
    let response: Response;
    try {
      const init: RequestInit = { method, headers };
      if (body !== undefined) init.body = JSON.stringify(body);
      response = await fetch(new URL(`api/v1/operator/${path}${search && `?${search}`}`, relay), init);
    } catch {
      throw new Failed(0, "offline", "", null);
    }
    const answer = (await response.json().catch(() => ({}))) as Answer;
    if (response.ok) return answer.data as T;
    const holder = answer.operator?.display_name ?? null;
    const failed = new Failed(response.status, answer.error_code ?? "unknown", answer.message ?? "", holder);
    if (failed.isOver) this.onOver(failed.code);
    throw failed;
  }

  me(): Promise<Me> {
    return this.call("GET", "fetch/me", {});
  }

  refresh(): Promise<{ operator_token: string }> {
    return this.call("POST", "refresh/token", {});
  }

  ticket(): Promise<{ ticket: string }> {
    return this.call("POST", "create/socket-ticket", {});
  }

  /** Everyone to whom a conversation can be assigned. */
  async colleagues(): Promise<Colleague[]> {
    const all: Colleague[] = [];
    let cursor: string | null = null;
    do {
      const query: Record<string, string> = cursor === null ? {} : { cursor };
      const page: { items: Colleague[]; next_cursor: string | null } = await this.call("GET", "fetch/operators", query);
      all.push(...page.items);
      cursor = page.next_cursor;
    } while (cursor !== null);
    return all;
  }

  queue(queue: Queue, q: string, cursor: string | null): Promise<{ items: Queued[]; counts: Counts; next_cursor: string | null }> {
    const query: Record<string, string> = { queue, limit: "100" };
    if (q) query.q = q;
    if (cursor) query.cursor = cursor;
    return this.call("GET", "fetch/conversations", query);
  }

  open(conversation_id: string): Promise<Opened> {
    return this.call("GET", "fetch/conversation", { conversation_id });
  }

  entries(conversation_id: string, before: string | null): Promise<{ items: Entry[]; complete: boolean }> {
    return this.call("GET", "fetch/messages", before ? { conversation_id, before } : { conversation_id });
  }

  read(conversation_id: string, message_id: string): Promise<Conversation> {
    return this.call("POST", "read/conversation", { conversation_id, message_id });
  }

  change(verb: string, conversation_id: string, body?: unknown): Promise<Conversation> {
    return this.call("POST", `${verb}/conversation`, { conversation_id }, body);
  }

  say(conversation_id: string, content: string, client_id: string): Promise<Entry> {
    return this.call("POST", "add/message", { conversation_id }, { content, client_id });
  }

  note(conversation_id: string, content: string): Promise<Entry> {
    return this.call("POST", "add/message", { conversation_id }, { content, internal: true });
  }

  canned(): Promise<{ items: CannedReply[] }> {
    return this.call("GET", "canned-replies", {});
  }
}
