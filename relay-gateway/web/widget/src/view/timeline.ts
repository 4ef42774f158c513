// Turns the state into the rows of the conversation: days, groups, notes, own unsent messages. Pure.
import type { Role } from "@chat-relay/protocol/frames";
import type { Attachment, Message, Source } from "@chat-relay/protocol/message";
import { unseenOutbox, type State } from "../state";
import { localised } from "../locale";
import type { Language } from "../text";
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
  readonly attachments: readonly Attachment[];
  readonly sources: readonly Source[];
  readonly first: boolean;
  readonly last: boolean;
}

export interface LineRow {
  readonly kind: "day" | "note";
  readonly key: string;
  readonly text: string;
}

/** A line of the widget's own, and whom it is about. */
interface NoteRow extends LineRow {
  readonly name: string | null;
}

export type Row = BubbleRow | LineRow;

/** What the chat is called: as its owner calls it, or by the name of whom it is. */
export function nameOf(config: State["config"]): string | null {
  return config?.title ?? config?.brandName ?? config?.tenantName ?? null;
}

export function botFace({ config }: State): Face {
  return {
    name: nameOf(config),
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
      const text = kind === "joined" ? (name === null ? language.t.personJoined : language.t.joined(name)) : language.t.resolved;
      const note: NoteRow = { kind: "note", key, text, name };
      rows.push(note);
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
  for (const { clientId, content, attachments, createdAt, failure } of unseenOutbox(state)) {
    startDay(createdAt);
    const delivery = failure === null ? "sending" : "failed";
    rows.push(bubble({ key: clientId, role: "visitor", content, attachments, at: createdAt, delivery, failure, clientId }));
  }
  const shown = grouped(withoutTwinNotes(rows));
  return state.askedBefore === "" ? shown : [{ kind: "note", key: "older", text: language.t.loadingOlder }, ...shown];
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
    attachments: message.attachments,
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
    attachments: [],
    sources: [],
    first: true,
    last: true,
    ...row,
  };
}

/**
 * The chat backend may tell in a system message what a note tells already: that a person has joined, by their name, or after the change that
 * the conversation is resolved. Then its words win. Any other system message says something else.
 */
function withoutTwinNotes(rows: readonly Row[]): Row[] {
  const systemText = (row: Row | undefined): string | null =>
    row?.kind === "note" && !/^(joined|resolved):/.test(row.key) ? row.text : null;
  return rows.filter((row, i) => {
    if (row.kind !== "note" || systemText(row) !== null) return true;
    const [before, after] = [systemText(rows[i - 1]), systemText(rows[i + 1])];
    const { name } = row as NoteRow;
    if (row.key.startsWith("resolved:")) return after === null;
    return name === null || ![before, after].some((text) => text?.includes(name));
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
