// What the widget makes of the wire: parsers turn untrusted JSON into these types or into null.
import type * as wire from "@chat-relay/protocol/frames";
import { parseIdentity, type Identity } from "./identity";
import { feedback, parseMessage, parseOperator, parseRating, role, status, type Message, type Operator, type Rating } from "@chat-relay/protocol/message";
import { known, list, moment, record, retryAfterMs, text, webUrl } from "@chat-relay/protocol/untrusted";

export type Position = "bottom-right" | "bottom-left";

/** What the launcher is drawn from. */
export interface Look {
  readonly themeColour: string | null;
  readonly brandColour: string | null;
  readonly position: Position;
  readonly greeting: string;
}

export interface WidgetConfig extends Look {
  readonly welcome: string | null;
  readonly avatarUrl: string | null;
  readonly showBranding: boolean;
  readonly title: string | null;
  readonly tenantName: string | null;
  readonly placeholder: string;
  readonly brandName: string | null;
  readonly brandLogoUrl: string | null;
  readonly online: boolean;
  readonly takesFiles: boolean;
  /** First messages to choose from. */
  readonly starters: readonly string[];
}

export interface Session {
  readonly sessionId: string;
  readonly token: string;
  readonly expiresAt: string;
  /** Who the visitor is, where the relay was told. */
  readonly identity: Identity | null;
}

/** A conversation in the visitor's list. */
export interface PastConversation {
  readonly id: string;
  readonly preview: string;
  readonly at: string;
  readonly unread: boolean;
}

export type ServerFrame =
  | {
      readonly type: "welcome";
      /** The `client_id` of the frame that asked for the conversation. */
      readonly clientId: string | null;
      readonly conversationId: string | null;
      readonly sessionId: string;
      readonly status: wire.ConversationStatus;
      readonly history: readonly Message[];
      /** Whether nothing was said before; `null` where the chat backend tells nothing of it, and answers no `history`. */
      readonly complete: boolean | null;
      readonly readUpTo: string | null;
      readonly operator: Operator | null;
      readonly mayRate: boolean;
      readonly rating: Rating | null;
      readonly mayLeaveEmail: boolean;
      readonly email: string | null;
      readonly expectedWaitS: number | null;
      readonly mayOpen: boolean;
    }
  | { readonly type: "ack"; readonly clientId: string; readonly messageId: string; readonly conversationId: string | null; readonly createdAt: string }
  | { readonly type: "message"; readonly message: Message }
  | { readonly type: "history"; readonly messages: readonly Message[]; readonly complete: boolean }
  | { readonly type: "typing"; readonly role: wire.Role }
  | { readonly type: "status"; readonly status: wire.ConversationStatus; readonly operator: Operator | null; readonly expectedWaitS: number | null }
  | { readonly type: "feedback"; readonly messageId: string; readonly feedback: wire.Feedback }
  | { readonly type: "conversations"; readonly past: readonly PastConversation[] }
  | { readonly type: "rating"; readonly rating: Rating | null }
  | { readonly type: "email"; readonly email: string }
  | { readonly type: "config"; readonly config: WidgetConfig }
  | {
      readonly type: "error";
      readonly code: string;
      readonly message: string;
      readonly clientId: string | null;
      readonly retryAfterMs: number | null;
    };

export function hexColour(value: unknown): string | null {
  const raw = text(value);
  return raw !== null && /^#[0-9a-f]{6}$/i.test(raw) ? raw : null;
}

export function position(value: unknown): Position | null {
  return value === "bottom-left" || value === "bottom-right" ? value : null;
}

/** What the launcher is drawn from. */
export function parseLook(value: unknown): Look {
  const { customization, branding } = record(value);
  const look = record(customization);
  return {
    themeColour: hexColour(look["theme_color"]),
    brandColour: hexColour(record(branding)["primary_color"]),
    position: position(look["position"]) ?? "bottom-right",
    greeting: text(look["greeting_text"]) ?? "",
  };
}

export function parseConfig(value: unknown): WidgetConfig {
  const json = record(value);
  const look = record(json["customization"]);
  const brand = record(json["branding"]);
  return {
    ...parseLook(value),
    welcome: text(look["welcome_message"]),
    avatarUrl: webUrl(look["avatar_url"]),
    showBranding: look["show_branding"] !== false,
    title: text(look["widget_title"]),
    tenantName: text(json["tenant_name"]),
    placeholder: text(look["placeholder_text"]) ?? "",
    brandName: text(brand["display_name"]),
    brandLogoUrl: webUrl(brand["logo_url"]),
    online: json["is_online"] !== false,
    takesFiles: json["file_upload_enabled"] === true,
    starters: known(list(look["starters"]).map(text)),
  };
}

export function parseSession(value: unknown): Session | null {
  const json = record(value);
  const sessionId = text(json["session_id"]);
  const token = text(json["visitor_token"]);
  return sessionId === null || token === null 
    ? null
    : { sessionId, token, expiresAt: text(json["expires_at"]) ?? "", identity: parseIdentity(json["identity"]) };
}

function seconds(value: unknown): number | null {
  return typeof value === "number" && value >= 0 ? value : null;
}

function parsePast(value: unknown): PastConversation | null {
  const json = record<wire.ConversationSummary>(value);
  const id = text(json.conversation_id);
  return id === null ? null : { id, preview: text(json.preview) ?? "", at: moment(json.last_message_at), unread: json.unread === true };
}

/** `null` for what is malformed or of a kind this version does not know: both are ignored. */
export function parseFrame(value: unknown): ServerFrame | null {
  const json = record<wire.ServerFrame>(value);
  switch (json.type) {
    case "welcome":
      return {
        type: "welcome",
        clientId: text(json.client_id),
        conversationId: text(json.conversation_id),
        sessionId: text(json.session_id) ?? "",
        status: status(json.status),
        history: known(list(json.history).map(parseMessage)),
        complete: typeof json.complete === "boolean" ? json.complete : null,
        readUpTo: text(json.read_up_to),
        operator: parseOperator(json.operator),
        mayRate: json.may_rate === true,
        rating: parseRating(json.rating),
        mayLeaveEmail: json.may_leave_email === true,
        email: text(json.email),
        expectedWaitS: seconds(json.expected_wait_s),
        mayOpen: json.may_open === true,
      };
    case "ack": {
      const clientId = text(json.client_id);
      const messageId = text(json.message_id);
      if (clientId === null || messageId === null) return null;
      return { type: "ack", clientId, messageId, conversationId: text(json.conversation_id), createdAt: moment(json.created_at) };
    }
    case "message": {
      const message = parseMessage(json.message);
      return message === null ? null : { type: "message", message };
    }
    case "history":
      return { type: "history", messages: known(list(json.messages).map(parseMessage)), complete: json.complete !== false };
    case "typing": {
      const from = role(json.role);
      return from === null ? null : { type: "typing", role: from };
    }
    case "status":
      return { type: "status", status: status(json.status), operator: parseOperator(json.operator), expectedWaitS: seconds(json.expected_wait_s) };
    case "feedback": {
      const [messageId, said] = [text(json.message_id), feedback(json.feedback)];
      return messageId === null || said === null ? null : { type: "feedback", messageId, feedback: said };
    }
    case "conversations":
      return { type: "conversations", past: known(list(json.conversations).map(parsePast)) };
    case "rating":
      return { type: "rating", rating: parseRating(json.rating) };
    case "email": {
      const email = text(json.email);
      return email === null ? null : { type: "email", email };
    }
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
