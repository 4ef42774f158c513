// Every way in which the widget's state may change: pure, so that no order of frames can surprise it.
import { WELCOME_MESSAGES, type ConversationStatus } from "@chat-relay/protocol/frames";
import type { Form } from "./forms";
import type { Message, Operator, Rating } from "@chat-relay/protocol/message";
import type { OutboxEntry } from "./outbox";
import type { ServerFrame } from "./protocol";
import { INITIAL, isElsewhere, isSamePerson, newestId, type Note, type State } from "./state";

/** How many messages stay in memory: more than anybody scrolls through. */
const KEPT_MESSAGES = 12_000;

/** What changes without a rule of its own. */
type Patched =
  | "appearance"
  | "open"
  | "openedByItself"
  | "opensWhenReady"
  | "mayGreet"
  | "draft"
  | "files"
  | "trouble"
  | "blocked"
  | "loading"
  | "typing"
  | "recheckedAt"
  | "inFlight"
  | "unanswered"
  | "heldUntil"
  | "typingSentAt"
  | "seenUpTo"
  | "toldUpTo"
  | "mayAskOlder"
  | "askedBefore"
  | "transcript"
  | "sound"
  | "previewedUpTo"
  | "forms"
  | "refusedEmail"
  | "past";

export type Patch = Partial<Pick<State, Patched>>;

export type Action =
  | ServerFrame
  | { readonly type: "patch"; readonly patch: Patch }
  | { readonly type: "queued"; readonly entries: readonly OutboxEntry[] }
  | { readonly type: "failed"; readonly clientId: string; readonly failure: string | null }
  | { readonly type: "discarded"; readonly clientId: string }
  | { readonly type: "read"; readonly upTo: string }
  | { readonly type: "reset"; readonly open: boolean };

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
      const gapAfter = message.id === state.gapEnd ? "" : state.gapAfter;
      return { ...state, typing, gapAfter, messages: merge(state, [message]) };
    }
    case "ack":
      return acknowledged(state, action);
    case "history": {
      // The visitor has turned to another conversation since.
      if (state.askedBefore === "") return state;
      const messages = merge(state, action.messages);
      // The widget asks for what was before the oldest message: after an empty answer, it would ask the same again for ever.
      const complete = action.complete || action.messages.length === 0;
      return { ...state, messages, complete, askedBefore: "" };
    }
    case "typing":
      return { ...state, typing: action.role === "bot" || action.role === "agent" ? action.role : null };
    case "status":
      if (state.status === action.status && state.expectedWaitS === action.expectedWaitS && isSamePerson(state.operator, action.operator)) return state;
      return { ...state, status: action.status, operator: action.operator, expectedWaitS: action.expectedWaitS, notes: noted(state, action) };
    case "feedback": {
      const { messageId, feedback } = action;
      const forms = state.forms.filter((form) => form.type !== "feedback" || form.message_id !== messageId || form.feedback !== feedback);
      const messages = state.messages.map((message) => (message.id === messageId ? { ...message, feedback } : message));
      return { ...state, forms, messages };
    }
    case "conversations":
      return state.open ? { ...state, past: action.past } : state;
    case "rating":
      return { ...state, rating: action.rating, forms: state.forms.filter((form) => !isAnswered(form, action.rating)) };
    case "email":
      return { ...state, email: action.email, forms: state.forms.filter((form) => !isKept(form, action.email)) };
    case "error":
      return state;
    case "queued": {
      // An entry that is there already keeps its place: messages are sent in the order in which they were written.
      const queued = new Map(state.outbox.map((entry) => [entry.clientId, entry]));
      for (const entry of action.entries) queued.set(entry.clientId, entry);
      return { ...state, outbox: [...queued.values()] };
    }
    case "failed": {
      const { clientId, failure } = action;
      const outbox = state.outbox.map((entry) => (entry.clientId === clientId ? { ...entry, failure } : entry));
      return { ...state, outbox };
    }
    case "discarded":
      return { ...state, outbox: state.outbox.filter((entry) => entry.clientId !== action.clientId) };
    case "reset": {
      // Only what the page and the relay say of this page stays. Everything else belongs to the visitor before.
      const { appearance, config, blocked, recheckedAt } = state;
      return { ...INITIAL, appearance, config, blocked, recheckedAt, open: action.open };
    }
    case "read":
      return { ...state, readUpTo: later(state.readUpTo, action.upTo) };
  }
}

function welcomed(state: State, frame: Extract<ServerFrame, { type: "welcome" }>): State {
  const isSameSession = state.sessionId === frame.sessionId;
  const isOther = isElsewhere(state, frame.conversationId);
  const same = (state.sessionId === null || isSameSession) && !isOther;
  // A rating or an address is for the conversation that the visitor has left. Its frame cannot say so, so it must not be sent in this one.
  const goesAlong = ({ type }: Form): boolean => same || type === "open_conversation" || type === "feedback";
  const forms = state.forms.filter((form) => form.client_id !== frame.clientId && goesAlong(form));
  const base: State = same
    ? { ...state, forms }
    : { ...state, messages: [], notes: [], complete: true, readUpTo: "", forms: isSameSession ? forms : [], refusedEmail: null };
  const gapEnd = frame.history[0]?.id ?? "";
  // If a resume breaks off half-way, the next one starts from the same message: what has come since hides the gap.
  const goesOn = isSameSession && !isOther;
  const gapAfter = goesOn ? state.gapAfter || newestId(state) : "";
  const first = base.messages.length === 0;
  const messages = merge(base, frame.history);
  return {
    ...base,
    // Who is welcomed is welcomed by the chat backend: it is there.
    config: base.config && { ...base.config, online: true },
    messages,
    complete: first ? (frame.complete ?? frame.history.length < WELCOME_MESSAGES) : base.complete,
    mayAskOlder: frame.complete !== null,
    askedBefore: "",
    sessionId: frame.sessionId,
    conversationId: frame.conversationId,
    mayOpen: frame.mayOpen,
    past: isOther || frame.clientId !== null ? null : state.past,
    status: frame.status,
    operator: frame.operator,
    expectedWaitS: frame.expectedWaitS,
    mayRate: frame.mayRate,
    rating: frame.rating,
    mayLeaveEmail: frame.mayLeaveEmail,
    email: frame.email,
    notes: state.status === null || !same ? [] : noted({ ...base, messages }, frame),
    readUpTo: later(base.readUpTo, frame.readUpTo ?? ""),
    typing: null,
    loading: false,
    welcomed: true,
    seenUpTo: goesOn ? state.seenUpTo : "",
    toldUpTo: frame.readUpTo ?? "",
    // Only what is older than all of the history leaves a gap, which a resume fills.
    gapAfter: gapAfter < gapEnd ? gapAfter : "",
    gapEnd,
  };
}

function acknowledged(state: State, ack: Extract<ServerFrame, { type: "ack" }>): State {
  const entry = state.outbox.find(({ clientId }) => clientId === ack.clientId);
  const inFlight = state.inFlight === ack.clientId ? null : state.inFlight;
  const outbox = state.outbox.filter((other) => other !== entry);
  const messages = state.messages.map((message) =>
    message.id === ack.messageId ? { ...message, clientId: ack.clientId } : message,
  );
  const conversationId = state.conversationId ?? ack.conversationId;
  const known = { ...state, inFlight, outbox, messages, conversationId };
  if (!entry || isElsewhere(state, ack.conversationId) || messages.some(({ id }) => id === ack.messageId)) return known;
  const own: Message = {
    id: ack.messageId,
    role: "visitor",
    content: entry.content,
    attachments: entry.attachments,
    createdAt: ack.createdAt,
    sources: [],
    clientId: ack.clientId,
    feedback: null,
    quickReplies: [],
  };
  return { ...known, messages: merge(known, [own]) };
}

/** Adds what is new. What was sent from here names its `client_id`, and so takes its outbox entry's place. */
function merge(state: State, incoming: readonly Message[]): readonly Message[] {
  const [only] = incoming;
  if (only && incoming.length === 1 && only.id > newestId(state)) return [...state.messages, only].slice(-KEPT_MESSAGES);
  const byId = new Map(state.messages.map((message) => [message.id, message]));
  for (const message of incoming) {
    const known = byId.get(message.id);
    // Of a known message, the feedback alone can have changed: another tab may have given it.
    if (!known || known.feedback !== message.feedback) byId.set(message.id, known ? { ...known, feedback: message.feedback } : message);
  }
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

/** Whether a rating that was sent is answered: it is kept, or its conversation goes on. A newer one is still on its way. */
function isAnswered(form: Form, rating: Rating | null): boolean {
  if (form.type !== "rate") return false;
  return rating === null || (form.score === rating.score && form.comment === rating.comment);
}

/** Whether an address that was sent is the one that is kept. The chat backend may spell the domain otherwise, so only the part before it counts. */
function isKept(form: Form, email: string): boolean {
  const local = (address: string): string => address.slice(0, address.lastIndexOf("@") + 1);
  return form.type === "leave_email" && local(form.email) === local(email);
}

function later(a: string, b: string): string {
  return a > b ? a : b;
}
