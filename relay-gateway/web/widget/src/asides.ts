// What the visitor says beside messages, a rating or an address: each is sent until the relay answers it, and the newest of its kind counts.
import type { ClientFrame } from "@chat-relay/protocol/frames";
import { randomId } from "@chat-relay/protocol/id";
import { clean } from "@chat-relay/protocol/untrusted";
import type { Parts } from "./parts";
import type { ServerFrame } from "./protocol";

export type Aside = Extract<ClientFrame, { type: "rate" | "leave_email" }>;

export function rate(p: Parts, score: number, comment: string): void {
  say(p, { type: "rate", client_id: randomId(), score, comment: clean(comment.trim()) || null });
}

export function leaveEmail(p: Parts, email: string): void {
  p.patch({ emailRefused: false });
  say(p, { type: "leave_email", client_id: randomId(), email: clean(email.trim()) });
}

/** Sends what is not answered yet: after each welcome, all of it. */
export function pump(p: Parts): void {
  for (const aside of p.state.asides) p.connection.send(aside);
}

/** After the reducer: the relay refused something. A refusal that names a time says nothing against it. */
export function refused(p: Parts, { clientId, retryAfterMs }: Extract<ServerFrame, { type: "error" }>): void {
  const aside = p.state.asides.find((other) => other.client_id === clientId);
  if (!aside) return;
  if (retryAfterMs !== null) {
    p.timers.after("asides", retryAfterMs, () => pump(p));
    return;
  }
  p.patch({ asides: p.state.asides.filter((other) => other !== aside), emailRefused: aside.type === "leave_email" });
}

function say(p: Parts, aside: Aside): void {
  p.patch({ asides: [...p.state.asides.filter(({ type }) => type !== aside.type), aside] });
  p.connection.wake();
  p.connection.send(aside);
}
