// Messages on their way: kept for the tab until the relay has acknowledged them, so that a reload loses none.
import type { Pending } from "./model";

/** Each operator's own: another who takes over the tab sends none of them. */
const place = (operator: string): string => `chat-relay-inbox-outbox-${operator}`;

function isPending(value: unknown): value is Pending {
  if (typeof value !== "object" || value === null) return false;
  const { conversation_id, client_id, content } = value as Record<string, unknown>;
  return [conversation_id, client_id, content].every((field) => typeof field === "string");
}

/** What an earlier load of the page did not hear of. Each is sent again under its `client_id`, which the relay takes once. */
export function keptMessages(operator: string): Pending[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(place(operator)) ?? "[]");
    if (!Array.isArray(kept)) return [];
    return kept.filter(isPending).map((pending) => ({ ...pending, state: "interrupted", why: "" }));
  } catch {
    return [];
  }
}

export function keepMessages(operator: string, pending: Pending[]): void {
  try {
    if (pending.length === 0) sessionStorage.removeItem(place(operator));
    else sessionStorage.setItem(place(operator), JSON.stringify(pending));
  } catch {
    // They are kept as long as the page is.
  }
}
