// What the widget makes of the wire: parsers turn untrusted JSON into these types or into null. The wire's own types and limits are
// in frames.ts, which is made from the relay's.
import { MESSAGE_CHARS, ROLES, STATUSES } from "./frames";
import type * as wire from "./frames";

export type Position = "bottom-right" | "bottom-left";

export interface Message {
  readonly id: string;
  readonly role: wire.Role;
  readonly content: string;
  readonly createdAt: string;
  /** The titles of the documents it cites, each once. */
  readonly sources: readonly string[];
  /** The `client_id` it was sent with, where a widget sent it. */
  readonly clientId: string | null;
}

export interface Operator {
  readonly displayName: string | null;
  readonly avatarUrl: string | null;
}

export interface WidgetConfig {
  readonly themeColour: string | null;
  readonly position: Position;
  readonly greeting: string;
  readonly welcome: string | null;
  readonly avatarUrl: string | null;
  readonly showBranding: boolean;
  readonly title: string | null;
  readonly placeholder: string;
  readonly brandName: string | null;
  readonly brandLogoUrl: string | null;
  readonly brandColour: string | null;
  readonly online: boolean;
}

export interface Session {
  readonly sessionId: string;
  readonly token: string;
  readonly expiresAt: string;
}

export type ServerFrame =
  | {
      readonly type: "welcome";
      readonly sessionId: string;
      readonly status: wire.ConversationStatus;
      readonly history: readonly Message[];
      readonly readUpTo: string | null;
      readonly operator: Operator | null;
    }
  | { readonly type: "ack"; readonly clientId: string; readonly messageId: string; readonly createdAt: string }
  | { readonly type: "message"; readonly message: Message }
  | { readonly type: "typing"; readonly role: wire.Role }
  | { readonly type: "status"; readonly status: wire.ConversationStatus; readonly operator: Operator | null }
  | { readonly type: "config"; readonly config: WidgetConfig }
  | {
      readonly type: "error";
      readonly code: string;
      readonly message: string;
      readonly clientId: string | null;
      readonly retryAfterMs: number | null;
    };

/** The fields of an untrusted object, by the names that a type has on the wire. */
type Fields<T> = { readonly [Name in T extends unknown ? keyof T : never]?: unknown };

export function record<T = Record<string, unknown>>(value: unknown): Fields<T> {
  return (typeof value === "object" && value !== null && !Array.isArray(value) ? value : {}) as Fields<T>;
}

export function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** At most `most` characters, and such as the relay takes: it refuses JSON with half an emoji or a NUL in it. */
export function clean(value: string, most = MESSAGE_CHARS): string {
  return [...value].slice(0, most).join("").replace(/[\p{Cs}\0]/gu, "\uFFFD");
}

/** A time that can be told; now, where it cannot. */
export function moment(value: unknown): string {
  const raw = text(value);
  return raw === null || Number.isNaN(Date.parse(raw)) ? new Date().toISOString() : raw;
}

export function retryAfterMs(value: unknown): number | null {
  const seconds = typeof value === "string" ? Number.parseFloat(value) : value;
  return typeof seconds === "number" && seconds >= 0 ? Math.min(seconds, 3600) * 1000 : null;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function known<T>(values: readonly (T | null)[]): T[] {
  return values.filter((value): value is T => value !== null);
}

function role(value: unknown): wire.Role | null {
  return ROLES.find((role) => role === value) ?? null;
}

function status(value: unknown): wire.ConversationStatus {
  return STATUSES.find((status) => status === value) ?? "bot";
}

/** An address that may become a link or an image: http or https, nothing else. */
export function webUrl(value: unknown): string | null {
  const raw = text(value);
  if (raw === null) return null;
  try {
    const url = new URL(raw);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

export function hexColour(value: unknown): string | null {
  const raw = text(value);
  return raw !== null && /^#[0-9a-f]{6}$/i.test(raw) ? raw : null;
}

export function position(value: unknown): Position | null {
  return value === "bottom-left" || value === "bottom-right" ? value : null;
}

export function parseMessage(value: unknown): Message | null {
  const json = record<wire.Message>(value);
  const id = text(json.id);
  const from = role(json.role);
  if (id === null || from === null) return null;
  return {
    id,
    role: from,
    content: text(json.content) ?? "",
    createdAt: moment(json.created_at),
    sources: [...new Set(known(list(json.citations).map((citation) => text(record<wire.Citation>(citation).title))))],
    clientId: text(json.client_id),
  };
}

function parseOperator(value: unknown): Operator | null {
  if (typeof value !== "object" || value === null) return null;
  const json = record<wire.Operator>(value);
  return { displayName: text(json.display_name), avatarUrl: webUrl(json.avatar_url) };
}

export function parseConfig(value: unknown): WidgetConfig {
  const json = record(value);
  const look = record(json["customization"]);
  const brand = record(json["branding"]);
  return {
    themeColour: hexColour(look["theme_color"]),
    position: position(look["position"]) ?? "bottom-right",
    greeting: text(look["greeting_text"]) ?? "",
    welcome: text(look["welcome_message"]),
    avatarUrl: webUrl(look["avatar_url"]),
    showBranding: look["show_branding"] !== false,
    title: text(look["widget_title"]),
    placeholder: text(look["placeholder_text"]) ?? "",
    brandName: text(brand["display_name"]),
    brandLogoUrl: webUrl(brand["logo_url"]),
    brandColour: hexColour(brand["primary_color"]),
    online: json["is_online"] !== false,
  };
}

export function parseSession(value: unknown): Session | null {
  const json = record(value);
  const sessionId = text(json["session_id"]);
  const token = text(json["visitor_token"]);
  return sessionId === null || token === null ? null : { sessionId, token, expiresAt: text(json["expires_at"]) ?? "" };
}

/** `null` for what is malformed or of a kind this version does not know: both are ignored. */
export function parseFrame(data: unknown): ServerFrame | null {
  let json: Fields<wire.ServerFrame>;
  try {
    json = record<wire.ServerFrame>(JSON.parse(String(data)));
  } catch {
    return null;
  }
  switch (json.type) {
    case "welcome":
      return {
        type: "welcome",
        sessionId: text(json.session_id) ?? "",
        status: status(json.status),
        history: known(list(json.history).map(parseMessage)),
        readUpTo: text(json.read_up_to),
        operator: parseOperator(json.operator),
      };
    case "ack": {
      const clientId = text(json.client_id);
      const messageId = text(json.message_id);
      if (clientId === null || messageId === null) return null;
      return { type: "ack", clientId, messageId, createdAt: moment(json.created_at) };
    }
    case "message": {
      const message = parseMessage(json.message);
      return message === null ? null : { type: "message", message };
    }
    case "typing": {
      const from = role(json.role);
      return from === null ? null : { type: "typing", role: from };
    }
    case "status":
      return { type: "status", status: status(json.status), operator: parseOperator(json.operator) };
    case "config":
      return { type: "config", config: parseConfig(json.widget_config) };
    case "error":
      return {
        type: "error",
        code: text(json.error_code) ?? "unknown",
        message: text(json.message) ?? "",
        clientId: text(json.client_id),
        retryAfterMs: retryAfterMs(json.retry_after_seconds),
      };
    default:
      return null;
  }
}
