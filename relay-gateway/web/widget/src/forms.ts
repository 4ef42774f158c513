// What the visitor asks the relay to keep beside messages: a rating, an address for answers, whether an answer helped, and in which conversation
// the visitor is. Each is sent until the relay answers it; the newest of its kind counts.
import type { ClientFrame } from "@chat-relay/protocol/frames";
import { randomId } from "@chat-relay/protocol/id";
import { clean } from "@chat-relay/protocol/untrusted";
import { ACK_TIMEOUT_MS, RETRY_AFTER_MS, TRANSIENT_REFUSALS } from "./delivery";
import type { Parts } from "./parts";
import type { ServerFrame } from "./protocol";

export type Form = Extract<ClientFrame, { type: "rate" | "leave_email" | "feedback" | "open_conversation" }>;

export function rate(p: Parts, score: number, comment: string): void {
  say(p, { type: "rate", client_id: randomId(), score, comment: clean(comment.trim()) || null });
}

export function leaveEmail(p: Parts, email: string): void {
  p.patch({ refusedEmail: null });
  say(p, { type: "leave_email", client_id: randomId(), email: clean(email.trim()) });
}

export function judge(p: Parts, messageId: string, isHelpful: boolean): void {
  say(p, { type: "feedback", client_id: randomId(), message_id: messageId, feedback: isHelpful ? "helpful" : "unhelpful" });
}

/** Asks for another conversation, or for a new one. */
export function open(p: Parts, conversationId: string | null): void {
  say(p, { type: "open_conversation", client_id: randomId(), conversation_id: conversationId });
}

/** Sends every form that is not answered yet. */
export function pump(p: Parts): void {
  for (const form of p.state.forms) p.connection.send(form);
  // A connection may be dead although it looks open: then another one is opened, and sends them again.
  if (p.state.forms.length > 0) p.timers.after("forms", ACK_TIMEOUT_MS, () => p.connection.recycle());
}

/** After the reducer: a form is kept. */
export function kept(p: Parts): void {
  if (p.state.forms.length === 0) p.timers.stop("forms");
}

/** After the reducer: the relay refused something. */
export function refused(p: Parts, { code, clientId, retryAfterMs }: Extract<ServerFrame, { type: "error" }>): void {
  const form = p.state.forms.find((other) => other.client_id === clientId);
  if (!form) return;
  if (retryAfterMs !== null || TRANSIENT_REFUSALS.includes(code)) {
    p.timers.after("forms", retryAfterMs ?? RETRY_AFTER_MS, () => pump(p));
    return;
  }
  const isNoAddress = form.type === "leave_email" && code === "validation_failed";
  p.patch({
    forms: p.state.forms.filter((other) => other !== form),
    refusedEmail: isNoAddress ? form.email : p.state.refusedEmail,
  });
  kept(p);
}

function say(p: Parts, form: Form): void {
  p.patch({ forms: [...p.state.forms.filter((other) => kindOf(other) !== kindOf(form)), form] });
  p.connection.wake();
  pump(p);
}

function kindOf(form: Form): string {
  return form.type === "feedback" ? form.message_id : form.type;
}
