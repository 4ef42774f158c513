// The relay's HTTP calls: envelope in, typed data or a typed failure out.
import type { Identity } from "./identity";
import { BROKEN, type Line, type LineOwner } from "./line";
import type { Options } from "./options";
import { toJson } from "@chat-relay/protocol/json";
import { clean, list, record, retryAfterMs, text } from "@chat-relay/protocol/untrusted";
import { parseConfig, parseSession, type Session, type WidgetConfig } from "./protocol";

const TIMEOUT_MS = 15_000;

/** An upload of which nothing is heard for this long has met a dead connection. */
const STALLED_AFTER_MS = 30_000;

/** The relay answered, and refused. Any other failure of a call means: no readable answer. */
export class RelayError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterMs: number | null,
  ) {
    super(message);
  }

  /** Whether the same call may succeed later without anyone changing anything. */
  get transient(): boolean {
    return this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

export interface Polled {
  readonly frames: readonly unknown[];
  readonly after: string;
}

export class RelayApi {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  async fetchConfig(locale: string): Promise<WidgetConfig> {
    return parseConfig(await this.#call(this.#url("fetch/widget-config", { locale }), {}));
  }

  /** The texts of a language. The browser may keep them for a while, as it keeps the script. */
  async fetchTexts(language: string): Promise<Readonly<Record<string, unknown>>> {
    const signal = AbortSignal.timeout?.(TIMEOUT_MS) ?? null;
    const response = await fetch(`${this.#options.baseUrl}/api/v1/widget/texts/${language}.json`, { credentials: "omit", signal });
    if (!response.ok) throw new Error("no texts");
    return record(await response.json());
  }

  async createSession(locale: string): Promise<Session> {
    const { tenantId, publicKey, routingKey, mode } = this.#options;
    const body = {
      tenant_id: tenantId,
      widget_public_key: publicKey,
      origin: location.origin,
      locale,
      metadata: {
        // Without the fragment: some pages keep secrets there.
        page_url: clean(location.href.replace(/#.*$/, ""), 700),
        page_title: clean(document.title, 150),
        referrer: clean(document.referrer, 400),
      },
      ...(routingKey === null ? {} : { routing_key: routingKey }),
      ...(mode === null ? {} : { mode }),
    };
    return this.#session("create/visitor-session", {
      body: toJson(body),
      headers: { "Content-Type": "application/json" },
    });
  }

  async refreshToken(token: string): Promise<Session> {
    return this.#session("refresh/visitor-token", { headers: { Authorization: `Bearer ${token}` } });
  }

  /** Tells who the visitor is: the session ends, and the visitor's own begins. */
  async identify(token: string, identity: Identity): Promise<Session> {
    const { identityToken: identity_token, name, email } = identity;
    const body = toJson({ identity_token, ...(name === null ? {} : { name }), ...(email === null ? {} : { email }) });
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    return { ...(await this.#session("identify/visitor", { body, headers })), identity };
  }

  /** Ends the session, although the page may be on its way out. Nobody waits for the answer. */
  endSession(token: string): void {
    const init = { method: "POST", headers: { Authorization: `Bearer ${token}` }, keepalive: true };
    this.#fetch(this.#url("end/visitor-session", {}), init).catch(() => undefined);
  }

  /** The token goes among the subprotocols, of which the relay selects the first: a URL would be logged on its way. */
  openSocket(token: string, owner: LineOwner): Line {
    const url = `${this.#options.baseUrl.replace(/^http/, "ws")}/api/v1/ws/widget`;
    const socket = new WebSocket(url, ["chat-relay.v1", `bearer.${token}`]);
    socket.onmessage = ({ data }) => owner.heard(parsed(data));
    socket.onclose = ({ code, reason }) => owner.closed(code, reason);
    // Where the page's policy forbids it, some browsers tell nothing but this. Any other error is followed by its close at once.
    socket.onerror = () => window.setTimeout(() => owner.closed(BROKEN, ""));
    return {
      get isOpen() {
        return socket.readyState === WebSocket.OPEN;
      },
      send: (frame) => socket.send(toJson(frame)),
      close: () => socket.close(1000),
    };
  }

  /** Sends a frame without a WebSocket; the frame that answers it, or `null`. */
  async sendFrame(token: string, body: string, signal: AbortSignal): Promise<unknown> {
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const answer = record(await this.#call(this.#url("send/visitor-frame", {}), { method: "POST", body, headers, signal }));
    if (!("frame" in answer)) throw new Error("not the relay's answer");
    return answer["frame"];
  }

  /** Sends a file; `told` hears what share of it has arrived. `fetch` would tell nothing of that. */
  upload(token: string, name: string, file: File, told: (share: number) => void, signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // An abort that has been is not told to those who listen now.
      if (signal.aborted) return reject(new Error("let go"));
      const request = new XMLHttpRequest();
      let stalled = 0;
      const wait = (): void => {
        clearTimeout(stalled);
        stalled = window.setTimeout(() => request.abort(), STALLED_AFTER_MS);
      };
      request.open("POST", this.#url("upload/attachment", { name }));
      request.setRequestHeader("Authorization", `Bearer ${token}`);
      // An empty type would become the page's guess.
      request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
      request.upload.onprogress = ({ loaded, total }) => {
        wait();
        told(total > 0 ? loaded / total : 0);
      };
      request.onloadend = () => clearTimeout(stalled);
      request.onload = () => {
        const body = record(parsed(request.responseText));
        if (request.status === 201) resolve(body["data"]);
        else reject(refusal(request.status, body, request.getResponseHeader("Retry-After")));
      };
      request.onerror = request.onabort = () => reject(new Error("no answer"));
      signal.addEventListener("abort", () => request.abort());
      wait();
      request.send(file);
    });
  }

  /** Waits for frames without a WebSocket. */
  async pollFrames(token: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Polled> {
    const headers = { Authorization: `Bearer ${token}` };
    const answer = record(await this.#call(this.#url("poll/visitor-frames", query), { headers, signal }));
    const after = answer["after"];
    if (typeof after !== "string") throw new Error("not the relay's answer");
    return { frames: list(answer["frames"]), after };
  }

  /** Whether anything answers at the relay's address, readable for this origin or not. */
  async answers(): Promise<boolean> {
    try {
      await this.#fetch(this.#url("fetch/widget-config", {}), { mode: "no-cors" });
      return true;
    } catch {
      return false;
    }
  }

  async #session(path: string, init: RequestInit): Promise<Session> {
    const session = parseSession(await this.#call(this.#url(path, {}), { ...init, method: "POST" }));
    if (session === null) throw new Error("the answer holds no session");
    return session;
  }

  #url(path: string, query: Readonly<Record<string, string>>): string {
    const { baseUrl, tenantId, publicKey } = this.#options;
    const search = new URLSearchParams({ tenant_id: tenantId, widget_public_key: publicKey, ...query });
    return `${baseUrl}/api/v1/${path}?${search}`;
  }

  async #call(url: string, init: RequestInit): Promise<unknown> {
    const response = await this.#fetch(url, init);
    const body = record(await response.json().catch(() => null));
    if (response.ok) return body["data"];
    throw refusal(response.status, body, response.headers.get("Retry-After"));
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    // Browsers without AbortSignal.timeout have a timeout of their own, only longer.
    const signal = init.signal ?? AbortSignal.timeout?.(TIMEOUT_MS) ?? null;
    return fetch(url, { ...init, credentials: "omit", cache: "no-store", signal });
  }
}

function refusal(status: number, body: Record<string, unknown>, retryAfter: string | null): RelayError {
  const code = text(body["error_code"]) ?? `http_${status}`;
  const message = text(body["message"]) ?? `HTTP ${status}`;
  return new RelayError(status, code, message, retryAfterMs(body["retry_after_seconds"] ?? retryAfter));
}

/** What cannot be parsed is no frame. */
function parsed(data: unknown): unknown {
  try {
    return JSON.parse(String(data));
  } catch {
    return null;
  }
}
