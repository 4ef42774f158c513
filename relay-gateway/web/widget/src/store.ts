// The widget's whole state and every way it may change: pure, so that no order of frames can surprise it.
import { WELCOME_MESSAGES, type ConversationStatus, type Role } from "@chat-relay/protocol/frames";
import type { Message, Operator } from "@chat-relay/protocol/message";
import type { ServerFrame, WidgetConfig } from "./protocol";
import type { OutboxEntry } from "./outbox";

/** How many messages stay in memory; older ones are the server's to keep. */
const KEPT_MESSAGES = 100;

/** A line of the widget's own in the conversation, standing after the message `after`. */
export interface Note {
  readonly kind: "joined" | "resolved";
  readonly name: string | null;
  readonly after: string;
  readonly key: string;
}

export interface State {
  readonly config: WidgetConfig | null;
  readonly open: boolean;
  /** Sorted by id, which is by time; no id twice. */
  readonly messages: readonly Message[];
  /** Whether `messages` begins where the conversation began. */
  readonly complete: boolean;
  readonly outbox: readonly OutboxEntry[];
  readonly notes: readonly Note[];
  readonly sessionId: string | null;
  readonly status: ConversationStatus | null;
  readonly operator: Operator | null;
  readonly readUpTo: string;
  readonly typing: Role | null;
  /** What is wrong with the connection, once it has been wrong for long enough to say so. */
  readonly trouble: "connecting" | "reconnecting" | "offline" | null;
  /** The relay does not serve this page at the moment. */
  readonly blocked: boolean;
  /** A conversation exists, but its history has not come yet. */
  readonly loading: boolean;
}

export const INITIAL: State = {
  config: null,
  open: false,
  messages: [],
  complete: true,
  outbox: [],
  notes: [],
  sessionId: null,
  status: null,
  operator: null,
  readUpTo: "",
  typing: null,
  trouble: null,
  blocked: false,
  loading: false,
};

export type Action =
  | ServerFrame
  | { readonly type: "patch"; readonly patch: Partial<Pick<State, "open" | "trouble" | "blocked" | "loading" | "typing">> }
  | { readonly type: "queued"; readonly entries: readonly OutboxEntry[] }
  | { readonly type: "failed"; readonly clientId: string; readonly failure: string | null }
  | { readonly type: "discarded"; readonly clientId: string }
  | { readonly type: "read"; readonly upTo: string };

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case "patch":
      return { ...state, ...action.patch };
    case "config":
      return { ...state, config: action.config };
    case "welcome":
      return welcomed(state, action);
    case "message": {
      const { message } = action;
      // Whatever comes is what was being written, or has overtaken it: the bot may have handed over to a person.
      const typing = message.role === "visitor" ? state.typing : null;
      return { ...state, typing, messages: merge(state, [message]) };
    }
    case "ack":
      return acknowledged(state, action);
    case "typing":
      return { ...state, typing: action.role === "bot" || action.role === "agent" ? action.role : null };
    case "status":
      return { ...state, status: action.status, operator: action.operator, notes: noted(state, action) };
    case "error":
      return state;
    case "queued": {
      const queued = new Set(action.entries.map((entry) => entry.clientId));
      const rest = state.outbox.filter((entry) => !queued.has(entry.clientId));
      return { ...state, outbox: [...rest, ...action.entries] };
    }
    case "failed": {
      const { clientId, failure } = action;
      const outbox = state.outbox.map((entry) => (entry.clientId === clientId ? { ...entry, failure } : entry));
      return { ...state, outbox };
    }
    case "discarded":
      return { ...state, outbox: state.outbox.filter((entry) => entry.clientId !== action.clientId) };
    case "read":
      return { ...state, readUpTo: later(state.readUpTo, action.upTo) };
  }
}

/** Messages of others since the visitor last read or wrote. */
export function unreadCount({ messages, readUpTo }: State): number {
  let count = 0;
  for (const { id, role } of messages) {
    if (role === "visitor") count = 0;
    else if (role !== "system" && id > readUpTo) count += 1;
  }
  return count;
}

export function newestId(state: State): string {
  return state.messages[state.messages.length - 1]?.id ?? "";
}

/** The newest message of somebody else: what a read receipt names. */
export function newestIncomingId({ messages }: State): string {
  for (let i = messages.length - 1; i >= 0; i -= 1) {
    const message = messages[i];
    if (message && message.role !== "visitor") return message.id;
  }
  return "";
}

/** Entries of the outbox which no message in the list already shows. */
export function unseenOutbox({ messages, outbox }: State): OutboxEntry[] {
  const shown = new Set(messages.map((message) => message.clientId));
  return outbox.filter((entry) => !shown.has(entry.clientId));
}

function welcomed(state: State, frame: Extract<ServerFrame, { type: "welcome" }>): State {
  const same = state.sessionId === null || state.sessionId === frame.sessionId;
  const base: State = same ? state : { ...state, messages: [], notes: [], complete: true, readUpTo: "" };
  const first = base.messages.length === 0;
  const messages = merge(base, frame.history);
  return {
    ...base,
    // Who is welcomed is welcomed by the chat backend: it is there.
    config: base.config && { ...base.config, online: true },
    messages,
    complete: (first ? frame.history.length < WELCOME_MESSAGES : base.complete) && messages.length < KEPT_MESSAGES,
    sessionId: frame.sessionId,
    status: frame.status,
    operator: frame.operator,
    notes: state.status === null || !same ? [] : noted({ ...base, messages }, frame),
    readUpTo: later(base.readUpTo, frame.readUpTo ?? ""),
    typing: null,
    loading: false,
  };
}

function acknowledged(state: State, ack: Extract<ServerFrame, { type: "ack" }>): State {
  const entry = state.outbox.find(({ clientId }) => clientId === ack.clientId);
  const outbox = state.outbox.filter((other) => other !== entry);
  const messages = state.messages.map((message) =>
    message.id === ack.messageId ? { ...message, clientId: ack.clientId } : message,
  );
  if (!entry || messages.some(({ id }) => id === ack.messageId)) return { ...state, outbox, messages };
  const own: Message = {
    id: ack.messageId,
    role: "visitor",
    content: entry.content,
    createdAt: ack.createdAt,
    sources: [],
    clientId: ack.clientId,
  };
  return { ...state, outbox, messages: merge({ ...state, messages }, [own]) };
}

/** Adds what is new. What was sent from here names its `client_id`, and so takes its outbox entry's place. */
function merge(state: State, incoming: readonly Message[]): readonly Message[] {
  const byId = new Map(state.messages.map((message) => [message.id, message]));
  for (const message of incoming) if (!byId.has(message.id)) byId.set(message.id, message);
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).slice(-KEPT_MESSAGES);
}

function noted(state: State, now: { readonly status: ConversationStatus; readonly operator: Operator | null }): readonly Note[] {
  const name = now.operator?.displayName ?? null;
  const joined = now.status === "assigned" && (state.status !== "assigned" || name !== (state.operator?.displayName ?? null));
  const resolved = now.status === "resolved" && state.status !== "resolved";
  if (!joined && !resolved) return state.notes;
  const kind = joined ? "joined" : "resolved";
  const after = joined && state.status !== "assigned" ? newestBeforeAgent(state) : newestId(state);
  return [...state.notes, { kind, name, after, key: `${kind}:${after}:${state.notes.length}` }];
}

/** A person who joins may have spoken before the relay says so: the note stands before their first words. */
function newestBeforeAgent({ messages }: State): string {
  const others = messages.filter(({ role }) => role !== "agent");
  return others[others.length - 1]?.id ?? "";
}

function later(a: string, b: string): string {
  return a > b ? a : b;
}
