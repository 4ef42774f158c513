// Turns the state into the rows of the conversation: days, groups, notes, own unsent messages. Pure.
import type { Role } from "@chat-relay/protocol/frames";
import type { Message } from "@chat-relay/protocol/message";
import { unseenOutbox, type State } from "../state";
import { localised, type Language } from "../text";
import type { Face } from "./avatar";

/** Messages of one author this close together stand as one group. */
const GROUP_MS = 5 * 60_000;

export type Delivery = "sending" | "sent" | "failed";

export interface BubbleRow {
  readonly kind: "bubble";
  readonly key: string;
  readonly role: Role;
  readonly content: string;
  /** `null` where no time can be told, as for the greeting. */
  readonly at: string | null;
  readonly face: Face;
  readonly delivery: Delivery | null;
  readonly failure: string | null;
  readonly clientId: string | null;
  readonly sources: readonly string[];
  readonly first: boolean;
  readonly last: boolean;
}

export interface LineRow {
  readonly kind: "day" | "note";
  readonly key: string;
  readonly text: string;
}

export type Row = BubbleRow | LineRow;

export function botFace({ config }: State): Face {
  return {
    name: config?.title ?? config?.brandName ?? null,
    imageUrl: config?.avatarUrl ?? config?.brandLogoUrl ?? null,
  };
}

export function operatorFace(state: State, { t }: Language): Face {
  return { name: state.operator?.displayName ?? t.agent, imageUrl: state.operator?.avatarUrl ?? null };
}

export function timeline(state: State, language: Language): Row[] {
  const rows: Row[] = [];
  const days = new Set<string>();
  const startDay = (iso: string): void => {
    const label = language.day(iso);
    if (!days.has(label)) rows.push({ kind: "day", key: `day:${label}`, text: label });
    days.add(label);
  };

  const welcome = welcomeText(state, language);
  if (welcome !== null) {
    // A new text is a new row: bubbles never change what they say.
    rows.push(bubble({ key: `welcome:${welcome}`, role: "bot", content: welcome, face: botFace(state) }));
  }
  const notes = [...state.notes];
  const addNotes = (reached: (after: string) => boolean): void => {
    while (notes[0] && reached(notes[0].after)) {
      const { kind, name, key } = notes[0];
      notes.shift();
      const text = kind === "joined" ? language.t.joined(name) : language.t.resolved;
      rows.push({ kind: "note", key, text });
    }
  };
  for (const message of state.messages) {
    addNotes((after) => after < message.id);
    startDay(message.createdAt);
    rows.push(
      message.role === "system"
        ? { kind: "note", key: message.id, text: message.content }
        : messageRow(message, message.role === "agent" ? operatorFace(state, language) : botFace(state)),
    );
  }
  addNotes(() => true);
  for (const { clientId, content, createdAt, failure } of unseenOutbox(state)) {
    startDay(createdAt);
    const delivery = failure === null ? "sending" : "failed";
    rows.push(bubble({ key: clientId, role: "visitor", content, at: createdAt, delivery, failure, clientId }));
  }
  return grouped(withoutTwinNotes(rows));
}

function welcomeText(state: State, { t }: Language): string | null {
  const { config, messages, complete, loading } = state;
  const isStart = messages.length === 0 || (complete && messages[0]?.role === "visitor");
  if (config === null || loading || !isStart) return null;
  return config.welcome ?? localised(config.greeting, "Hello! How can we help?", t.defaultGreeting);
}

function messageRow(message: Message, face: Face): BubbleRow {
  return bubble({
    key: message.clientId ?? message.id,
    role: message.role,
    content: message.content,
    at: message.createdAt,
    face,
    delivery: message.role === "visitor" ? "sent" : null,
    sources: message.sources,
  });
}

function bubble(row: Pick<BubbleRow, "key" | "role" | "content"> & Partial<BubbleRow>): BubbleRow {
  return {
    kind: "bubble",
    at: null,
    face: { name: null, imageUrl: null },
    delivery: null,
    failure: null,
    clientId: null,
    sources: [],
    first: true,
    last: true,
    ...row,
  };
}

/** The relay may tell in a system message what a note tells already: then its words win. */
function withoutTwinNotes(rows: readonly Row[]): Row[] {
  const isNote = (row: Row | undefined): boolean => row?.kind === "note";
  const isOwn = (row: Row): boolean => /^(joined|resolved):/.test(row.key);
  return rows.filter((row, i) => {
    const beside = [rows[i - 1], rows[i + 1]];
    return !(isNote(row) && isOwn(row) && beside.some((other) => other && isNote(other) && !isOwn(other)));
  });
}

function grouped(rows: readonly Row[]): Row[] {
  const joins = (a: Row | undefined, b: Row | undefined): boolean =>
    a?.kind === "bubble" &&
    b?.kind === "bubble" &&
    a.role === b.role &&
    (a.at === null || b.at === null || Date.parse(b.at) - Date.parse(a.at) < GROUP_MS);
  return rows.map((row, i) =>
    row.kind === "bubble" ? { ...row, first: !joins(rows[i - 1], row), last: !joins(row, rows[i + 1]) } : row,
  );
}
