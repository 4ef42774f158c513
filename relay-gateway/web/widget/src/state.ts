// The widget's whole state, and what is read off it.
import type { ConversationStatus, Role } from "@chat-relay/protocol/frames";
import type { Form } from "./forms";
import type { Message, Operator, Rating } from "@chat-relay/protocol/message";
import type { Appearance } from "./options";
import type { FileInHand } from "./files";
import type { OutboxEntry } from "./outbox";
import type { PastConversation, WidgetConfig } from "./protocol";

/** A line of the widget's own in the conversation, standing after the message `after`. */
export interface Note {
  readonly kind: "joined" | "resolved";
  readonly name: string | null;
  readonly after: string;
  readonly key: string;
}

export interface State {
  /** What the page asks for. */
  readonly appearance: Appearance;
  readonly config: WidgetConfig | null;
  readonly open: boolean;
  /** The panel was opened by the page's markup: it must not take the focus. */
  readonly openedByItself: boolean;
  /** The panel opens once there is a configuration to draw it from. */
  readonly opensWhenReady: boolean;
  /** The visitor has not opened the panel yet, nor sent the greeting away. */
  readonly mayGreet: boolean;
  /** Sorted by id, which is by time; no id twice. */
  readonly messages: readonly Message[];
  /** Whether `messages` begins where the conversation began. */
  readonly complete: boolean;
  /** Whether the chat backend answers what was said before. */
  readonly mayAskOlder: boolean;
  /** The relay was asked what was said before this message, and has not answered yet. Empty otherwise. */
  readonly askedBefore: string;
  /** The visitor saves the conversation: what is not loaded yet is asked for, and then it is written. */
  readonly transcript: "none" | "fetching" | "ready";
  /** Whether a sound tells of new messages. */
  readonly sound: boolean;
  /** The newest message whose preview beside the launcher the visitor has sent away. */
  readonly previewedUpTo: string;
  /** What the visitor has written, and not sent. */
  readonly draft: string;
  /** The files beside it: those that have arrived, are on their way, or were refused. */
  readonly files: readonly FileInHand[];
  readonly outbox: readonly OutboxEntry[];
  readonly notes: readonly Note[];
  readonly sessionId: string | null;
  readonly conversationId: string | null;
  /** Whether the relay lists the visitor's conversations, and opens another one. */
  readonly mayOpen: boolean;
  /** The list, while the visitor looks at it. */
  readonly past: readonly PastConversation[] | null;
  readonly status: ConversationStatus | null;
  readonly operator: Operator | null;
  /** How long visitors have waited for a person lately. */
  readonly expectedWaitS: number | null;
  readonly readUpTo: string;
  /** Whether the visitor may rate what is resolved, and what they said of it. */
  readonly mayRate: boolean;
  readonly rating: Rating | null;
  /** Whether the visitor may leave an address for answers, and the one they left. */
  readonly mayLeaveEmail: boolean;
  readonly email: string | null;
  /** The address that the relay has refused, until the visitor sends another. */
  readonly refusedEmail: string | null;
  /** The forms that the relay has not answered yet: the newest of each kind. */
  readonly forms: readonly Form[];
  readonly typing: Role | null;
  /** What is wrong with the connection, once it has been wrong for long enough to say so. */
  readonly trouble: "connecting" | "reconnecting" | "offline" | "unreachable" | null;
  /** The relay does not serve this page at the moment. */
  readonly blocked: boolean;
  /** A conversation exists, but its history has not come yet. */
  readonly loading: boolean;
  /** When the page last asked whether it is served again, in Unix milliseconds, as all times here. */
  readonly recheckedAt: number;
  /** The relay has welcomed this page before. */
  readonly welcomed: boolean;
  /** The entry of the outbox that was sent, and is not answered yet. */
  readonly inFlight: string | null;
  /** The relay asked for a pause: nothing is sent before this time. */
  readonly heldUntil: number;
  /** How often each entry of the outbox was sent without an answer. */
  readonly unanswered: Readonly<Record<string, number>>;
  readonly typingSentAt: number;
  /** The newest message that was in sight, and the newest of which the relay was told. */
  readonly seenUpTo: string;
  readonly toldUpTo: string;
  /** The gap in the history which a resume must fill: it follows this message and ends with that one. Empty without a gap. */
  readonly gapAfter: string;
  readonly gapEnd: string;
}

export const INITIAL: Omit<State, "appearance"> = {
  config: null,
  open: false,
  openedByItself: false,
  opensWhenReady: false,
  mayGreet: false,
  messages: [],
  complete: true,
  mayAskOlder: false,
  askedBefore: "",
  transcript: "none",
  sound: false,
  previewedUpTo: "",
  draft: "",
  files: [],
  outbox: [],
  notes: [],
  sessionId: null,
  conversationId: null,
  mayOpen: false,
  past: null,
  status: null,
  operator: null,
  expectedWaitS: null,
  readUpTo: "",
  mayRate: false,
  rating: null,
  mayLeaveEmail: false,
  email: null,
  refusedEmail: null,
  forms: [],
  typing: null,
  trouble: null,
  blocked: false,
  loading: false,
  recheckedAt: 0,
  welcomed: false,
  inFlight: null,
  heldUntil: 0,
  unanswered: {},
  typingSentAt: 0,
  seenUpTo: "",
  toldUpTo: "",
  gapAfter: "",
  gapEnd: "",
};

/** Messages of others since the visitor last read or wrote. */
export function unreadCount({ messages, readUpTo }: State): number {
  let count = 0;
  for (const { id, role } of messages) {
    if (role === "visitor") count = 0;
    else if (role !== "system" && id > readUpTo) count += 1;
  }
  return count;
}

/** Whether anything of a visitor's is in the page. */
export function hasVisitorData({ sessionId, messages, outbox, draft, files }: State): boolean {
  return sessionId !== null || draft !== "" || [messages, outbox, files].some(({ length }) => length > 0);
}

/** The newest unread message, to be shown beside the launcher, unless the visitor has sent it away. */
export function previewed(state: State): Message | null {
  if (unreadCount(state) === 0) return null;
  for (let i = state.messages.length - 1; i >= 0; i -= 1) {
    const message = state.messages[i];
    if (message && message.role !== "system") return message.id > state.previewedUpTo ? message : null;
  }
  return null;
}

/** Whether what names this conversation is of another one than the visitor looks at; `null` names none. */
export function isElsewhere(state: State, conversationId: string | null): boolean {
  return state.conversationId !== null && conversationId !== null && state.conversationId !== conversationId;
}

/** What the visitor says of an answer, the relay's or one on its way there. */
export function feedbackOf({ forms }: State, { id, feedback }: Message): Message["feedback"] {
  const said = forms.find((form) => form.type === "feedback" && form.message_id === id);
  return said?.type === "feedback" ? said.feedback : feedback;
}

export function isSamePerson(one: Operator | null, other: Operator | null): boolean {
  return one?.displayName === other?.displayName && one?.avatarUrl === other?.avatarUrl;
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

/** Entries of the outbox that were written in this conversation, and that no message in the list shows already. */
export function unseenOutbox(state: State): OutboxEntry[] {
  const { messages, outbox } = state;
  if (outbox.length === 0) return [];
  const shown = new Set(messages.map((message) => message.clientId));
  return outbox.filter(({ clientId, conversationId }) => !shown.has(clientId) && !isElsewhere(state, conversationId));
}

/** The oldest entry of the outbox that is still to be sent. */
export function nextUnsent({ outbox }: State): OutboxEntry | undefined {
  return outbox.find((entry) => entry.failure === null);
}
