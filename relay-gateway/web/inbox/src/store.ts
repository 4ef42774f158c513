// The inbox's whole state, and every way in which it changes: a pure function of what was and what happened.
import {
  byQueue, isIn,
  type CannedReply, type Colleague, type Conversation, type Counts, type Entry, type Me, type Opened, type Pending, type Preview,
  type Queue, type Queued,
} from "./model";

export interface Person {
  operator_id: string;
  display_name: string;
}

export interface State {
  me: Me | null;
  queue: Queue;
  search: string;
  counts: Counts | null;
  /** `null`: not loaded yet. */
  list: Queued[] | null;
  next: string | null;
  selected: string | null;
  opened: Opened | null;
  entries: Entry[];
  complete: boolean;
  /** Of every conversation. */
  pending: Pending[];
  onlookers: Record<string, Person[]>;
  /** Who writes in the opened conversation, and until when that is shown. */
  typing: { who: Person | null; until: number } | null;
  colleagues: Colleague[];
  canned: CannedReply[];
  connected: boolean;
  over: "operator_token_superseded" | "tenant_suspended" | "no_token" | null;
  notice: string | null;
}

export const start: State = {
  me: null, queue: "waiting", search: "", counts: null, list: null, next: null, selected: null, opened: null, entries: [],
  complete: true, pending: [], onlookers: {}, typing: null, colleagues: [], canned: [], connected: true, over: null, notice: null,
};

export type Happened =
  | { type: "me"; me: Me }
  | { type: "queue"; queue: Queue; search: string }
  | { type: "listed"; items: Queued[]; counts: Counts; next: string | null; after: string | null; queue: Queue; search: string }
  | { type: "welcomed"; counts: Counts }
  | { type: "counts"; counts: Counts }
  | { type: "changed"; conversation: Conversation; last: Preview | null; now: number }
  | { type: "selected"; id: string | null }
  | { type: "opened"; conversation: Opened }
  | { type: "entries"; id: string; items: Entry[]; complete: boolean; isEarlier: boolean }
  | { type: "entry"; id: string; entry: Entry }
  | { type: "read"; id: string; up_to: string }
  | { type: "written"; pending: Pending }
  | { type: "sending"; client_id: string }
  | { type: "sent"; id: string; client_id: string; entry: Entry }
  | { type: "unsent"; client_id: string; state: "interrupted" | "refused"; why: string }
  | { type: "discarded"; client_id: string }
  | { type: "presence"; id: string; people: Person[] }
  | { type: "typing"; id: string; who: Person | null; until: number }
  | { type: "colleagues"; colleagues: Colleague[] }
  | { type: "canned"; canned: CannedReply[] }
  | { type: "lost" }
  | { type: "over"; why: NonNullable<State["over"]> }
  | { type: "notice"; text: string | null };

/** Entries in the order of ids, each once. */
function merged(one: Entry[], other: Entry[]): Entry[] {
  const byId = new Map<string, Entry>();
  for (const entry of [...one, ...other]) byId.set(entry.id, entry);
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** The list with a changed conversation in its place, or without it where it left the queue. */
function placed(state: State, conversation: Conversation, last: Preview | null, now: number): Queued[] | null {
  if (state.list === null) return null;
  const before = state.list.find((item) => item.id === conversation.id);
  const others = state.list.filter((item) => item.id !== conversation.id);
  // Only the relay knows what matches a search, so no row is added here.
  const belongs = state.search ? before !== undefined : isIn(state.queue, conversation, state.me?.operator_id ?? "", now);
  if (!belongs) return others;
  const isNew = last !== null && last.role === "visitor" && last.id !== before?.last_message?.id;
  const isLookedAt = state.selected === conversation.id;
  const unread = isLookedAt ? 0 : (before?.unread ?? 0) + (isNew ? 1 : 0);
  const item: Queued = { ...conversation, last_message: last ?? before?.last_message ?? null, unread };
  return [...others, item].sort(byQueue(state.queue));
}

function withState(all: Pending[], client_id: string, state: Pending["state"], why: string): Pending[] {
  return all.map((it) => (it.client_id === client_id ? { ...it, state, why } : it));
}

export function reduce(state: State, happened: Happened): State {
  switch (happened.type) {
    case "me":
      return { ...state, me: happened.me };
    case "queue":
      return { ...state, queue: happened.queue, search: happened.search, list: null, next: null };
    case "listed": {
      // The operator has changed queue or search since this call, or the list was loaded anew: drop its answer.
      if (happened.queue !== state.queue || happened.search !== state.search) return state;
      if (happened.after !== null && happened.after !== state.next) return state;
      const known = happened.after !== null && state.list ? state.list : [];
      const ids = new Set(happened.items.map((item) => item.id));
      const list = [...known.filter((item) => !ids.has(item.id)), ...happened.items];
      return { ...state, list, counts: happened.counts, next: happened.next };
    }
    case "welcomed":
      // Colleagues may have left while the socket was broken.
      return { ...state, connected: true, counts: happened.counts, onlookers: {} };
    case "counts":
      return { ...state, counts: happened.counts };
    case "changed": {
      const { conversation, last, now } = happened;
      const opened =
        state.opened?.id === conversation.id
          ? { ...state.opened, ...conversation, draft: conversation.handling === "assigned" ? state.opened.draft : null }
          : state.opened;
      return { ...state, list: placed(state, conversation, last, now), opened };
    }
    case "selected":
      if (happened.id === state.selected) return state;
      return { ...state, selected: happened.id, opened: null, entries: [], complete: true, typing: null };
    case "opened":
      return state.selected === happened.conversation.id ? { ...state, opened: happened.conversation } : state;
    case "entries": {
      if (state.selected !== happened.id) return state;
      const { items, complete, isEarlier } = happened;
      if (isEarlier) return { ...state, entries: merged(items, state.entries), complete };
      const known = new Set(state.entries.map((entry) => entry.id));
      if (state.entries.length > 0 && items.some((entry) => known.has(entry.id))) {
        return { ...state, entries: merged(state.entries, items) };
      }
      // Between what was known and this page more may have been said: what lies before the page is loaded again.
      const newest = items.at(-1)?.id ?? "";
      const later = state.entries.filter((entry) => entry.id > newest);
      return { ...state, entries: merged(items, later), complete };
    }
    case "entry": {
      if (state.selected !== happened.id) return state;
      const typing = happened.entry.role === "visitor" ? null : state.typing;
      return { ...state, entries: merged(state.entries, [happened.entry]), typing };
    }
    case "read": {
      const list = state.list?.map((item) => (item.id === happened.id ? { ...item, unread: 0 } : item)) ?? null;
      const opened = state.opened?.id === happened.id ? { ...state.opened, read_up_to: happened.up_to } : state.opened;
      return { ...state, list, opened };
    }
    case "written":
      return { ...state, pending: [...state.pending, happened.pending] };
    case "sending":
      return { ...state, pending: withState(state.pending, happened.client_id, "sending", "") };
    case "discarded":
      return { ...state, pending: state.pending.filter((it) => it.client_id !== happened.client_id) };
    case "sent": {
      const pending = state.pending.filter((it) => it.client_id !== happened.client_id);
      // The operator may look at another conversation by now.
      if (state.selected !== happened.id) return { ...state, pending };
      const opened = state.opened && { ...state.opened, draft: null };
      return { ...state, pending, opened, entries: merged(state.entries, [happened.entry]) };
    }
    case "unsent":
      return { ...state, pending: withState(state.pending, happened.client_id, happened.state, happened.why) };
    case "presence":
      return { ...state, onlookers: { ...state.onlookers, [happened.id]: happened.people } };
    case "typing":
      return state.selected === happened.id ? { ...state, typing: { who: happened.who, until: happened.until } } : state;
    case "colleagues":
      return { ...state, colleagues: happened.colleagues };
    case "canned":
      return { ...state, canned: happened.canned };
    case "lost":
      return { ...state, connected: false };
    case "over":
      return { ...state, over: happened.why };
    case "notice":
      return { ...state, notice: happened.text };
  }
}
