// What the visitor says beside messages, a rating or an address: each is sent until the relay answers it, and the newest of its kind counts.
import type { ClientFrame } from "@chat-relay/protocol/frames";
import { randomId } from "@chat-relay/protocol/id";
import { clean } from "@chat-relay/protocol/untrusted";
import { ACK_TIMEOUT_MS, RETRY_AFTER_MS, TRANSIENT_REFUSALS } from "./delivery";
import type { Parts } from "./parts";
import type { ServerFrame } from "./protocol";

export type Aside = Extract<ClientFrame, { type: "rate" | "leave_email" }>;

export function rate(p: Parts, score: number, comment: string): void {
  say(p, { type: "rate", client_id: randomId(), score, comment: clean(comment.trim()) || null });
}

export function leaveEmail(p: Parts, email: string): void {
  p.patch({ refusedEmail: null });
  say(p, { type: "leave_email", client_id: randomId(), email: clean(email.trim()) });
}

/** Sends what is not answered yet: after each welcome, all of it. */
export function pump(p: Parts): void {
  for (const aside of p.state.asides) p.connection.send(aside);
  // A connection that looks open may be dead.
  if (p.state.asides.length > 0) p.timers.after("asides", ACK_TIMEOUT_MS, () => p.connection.recycle());
}

/** After the reducer: a rating or an address is kept. */
export function kept(p: Parts): void {
  if (p.state.asides.length === 0) p.timers.stop("asides");
}

/** After the reducer: the relay refused something. */
export function refused(p: Parts, { code, clientId, retryAfterMs }: Extract<ServerFrame, { type: "error" }>): void {
  const aside = p.state.asides.find((other) => other.client_id === clientId);
  if (!aside) return;
  if (retryAfterMs !== null || TRANSIENT_REFUSALS.includes(code)) {
    p.timers.after("asides", retryAfterMs ?? RETRY_AFTER_MS, () => pump(p));
    return;
  }
  const isNoAddress = aside.type === "leave_email" && code === "validation_failed";
  p.patch({
    asides: p.state.asides.filter((other) => other !== aside),
    refusedEmail: isNoAddress ? aside.email : p.state.refusedEmail,
  });
  kept(p);
}

function say(p: Parts, aside: Aside): void {
  p.patch({ asides: [...p.state.asides.filter(({ type }) => type !== aside.type), aside] });
  p.connection.wake();
  pump(p);
}
