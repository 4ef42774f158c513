// What the relay says: each frame goes into the state, and to whatever part of the widget it matters to.
import * as alerts from "./alerts";
import * as delivery from "./delivery";
import * as files from "./files";
import * as forms from "./forms";
import * as history from "./history";
import type { Parts } from "./parts";
import type { ServerFrame } from "./protocol";
import { isElsewhere, isSamePerson, type State } from "./state";

const TYPING_SHOWN_MS = 6000;

/** Takes a frame: into the state first, then wherever else it matters. */
export function take(p: Parts, frame: ServerFrame): void {
  const before = p.state;
  p.apply(frame);
  switch (frame.type) {
    case "welcome":
      if (before.sessionId !== null && before.sessionId !== frame.sessionId) files.resend(p);
      if (isElsewhere(before, frame.conversationId)) history.leave(p);
      history.resume(p);
      forms.kept(p);
      break;
    case "ack":
      delivery.acknowledged(p, frame.clientId);
      break;
    case "history":
      history.answered(p, before.askedBefore);
      break;
    case "rating":
    case "email":
    case "feedback":
      forms.kept(p);
      break;
    case "typing":
      p.timers.after("typing", TYPING_SHOWN_MS, () => p.patch({ typing: null }));
      break;
    case "error":
      p.events.emit("error", { error_code: frame.code, message: frame.message });
      if (history.refused(p, frame)) break;
      delivery.refused(p, frame);
      forms.refused(p, frame);
      break;
    default:
  }
  const isNews = frame.type === "welcome" ? before.welcomed && !isElsewhere(before, frame.conversationId) : frame.type !== "history";
  if (isNews) emitNewMessages(p, before);
  // Calls in the place of a WebSocket tell again and again who answers.
  if ("status" in frame && (before.status !== frame.status || !isSamePerson(before.operator, frame.operator))) {
    const { status, operator } = frame;
    const person = operator === null ? null : { display_name: operator.displayName };
    p.events.emit("status", { status, operator: person });
  }
}

function emitNewMessages(p: Parts, before: State): void {
  if (before.messages === p.state.messages) return;
  const known = new Set(before.messages.map((message) => message.id));
  for (const { id, role, content } of p.state.messages) {
    if (!known.has(id)) p.events.emit("message", { role, content });
  }
  alerts.heard(p);
}
