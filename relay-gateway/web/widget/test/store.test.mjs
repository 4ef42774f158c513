// The reducer: what frames and visitors make of the state.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./source.mjs";

const { reduce } = await load("store.ts");
const { INITIAL, nextUnsent, unseenOutbox } = await load("state.ts");

const after = (...actions) => actions.reduce(reduce, INITIAL);
const entry = (clientId) => ({ clientId, content: "hi", createdAt: "2026-11-26T10:00:00.000Z", conversationId: null, failure: null });
const message = (id, role = "bot") => ({ id, role, content: "", createdAt: "", sources: [], clientId: null });
const welcome = (history, rest = {}) => ({
  type: "welcome",
  clientId: null,
  conversationId: null,
  sessionId: "vs_1",
  status: "bot",
  history,
  readUpTo: null,
  operator: null,
  ...rest,
});

test("a message is in flight until it is acknowledged", () => {
  const queued = [
    { type: "queued", entries: [entry("a"), entry("b")] },
    { type: "patch", patch: { inFlight: "a" } },
  ];
  assert.equal(after(...queued).inFlight, "a");
  const ack = { type: "ack", clientId: "a", messageId: "1", createdAt: "" };
  const acknowledged = after(...queued, ack);
  assert.equal(acknowledged.inFlight, null);
  assert.equal(nextUnsent(acknowledged).clientId, "b");
  assert.equal(after(...queued, { ...ack, clientId: "b" }).inFlight, "a", "another message's answer");
});

test("what fails stands in nobody's way, and begins anew when it is tried again", () => {
  const state = after({ type: "queued", entries: [entry("a"), entry("b")] });
  const failed = reduce(state, { type: "failed", clientId: "a", failure: "unanswered" });
  assert.equal(nextUnsent(failed).clientId, "b");
  const retried = reduce(failed, { type: "failed", clientId: "a", failure: null });
  assert.equal(nextUnsent(retried).clientId, "a");
});

test("a gap in the history lasts until its end has come", () => {
  const first = after(welcome([message("1")]));
  assert.deepEqual([first.gapAfter, first.welcomed], ["", true], "a first welcome leaves none");
  const gap = reduce(first, welcome([message("5"), message("6")]));
  assert.deepEqual([gap.gapAfter, gap.gapEnd], ["1", "5"]);
  const half = reduce(gap, { type: "message", message: message("3") });
  assert.equal(half.gapAfter, "1");
  assert.equal(reduce(half, welcome([message("5"), message("6")])).gapAfter, "1", "it resumes from the same message");
  assert.equal(reduce(half, { type: "message", message: message("5") }).gapAfter, "");
  assert.equal(reduce(first, welcome([message("1"), message("2")])).gapAfter, "", "nothing lies between");
  assert.equal(reduce(gap, welcome([message("9")], { sessionId: "vs_2" })).gapAfter, "", "another session's");
});

test("a welcome says how much of the history was read, and another session forgets what was seen", () => {
  const seen = reduce(after(welcome([message("1")])), { type: "patch", patch: { seenUpTo: "1", toldUpTo: "1" } });
  const same = reduce(seen, welcome([message("1")], { readUpTo: "1" }));
  assert.deepEqual([same.seenUpTo, same.toldUpTo], ["1", "1"]);
  const other = reduce(seen, welcome([message("2")], { sessionId: "vs_2" }));
  assert.deepEqual([other.seenUpTo, other.toldUpTo], ["", ""]);
});

test("a pending rating or address goes with its own answer, and a newer one stays", () => {
  const rate = (score) => ({ type: "rate", client_id: `r${score}`, score, comment: null });
  const leave = { type: "leave_email", client_id: "e", email: "ada@bücher.example" };
  const pending = { type: "patch", patch: { forms: [rate(5), leave] } };
  const answered = (score) => ({ type: "rating", rating: { score, comment: null } });
  assert.deepEqual(after(pending, answered(4)).forms, [rate(5), leave]);
  assert.deepEqual(after(pending, answered(5)).forms, [leave]);
  assert.deepEqual(after(pending, { type: "rating", rating: null }).forms, [leave]);
  assert.deepEqual(after(pending, { type: "email", email: "ben@example.com" }).forms, [rate(5), leave]);
  assert.deepEqual(after(pending, { type: "email", email: "ada@xn--bcher-kva.example" }).forms, [rate(5)]);
});

test("what was said before goes before what is known, once, and is asked for while there is more", () => {
  const asked = after(welcome([message("3"), message("4")], { complete: false }), { type: "patch", patch: { askedBefore: "3" } });
  assert.deepEqual([asked.complete, asked.mayAskOlder], [false, true]);
  const answered = reduce(asked, { type: "history", messages: [message("1"), message("2"), message("3")], complete: false });
  assert.deepEqual(answered.messages.map(({ id }) => id), ["1", "2", "3", "4"]);
  assert.deepEqual([answered.complete, answered.askedBefore], [false, ""]);
  const again = reduce(answered, welcome([message("4"), message("5")], { complete: false }));
  assert.deepEqual(again.messages.map(({ id }) => id), ["1", "2", "3", "4", "5"], "a reconnect forgets nothing");
  const asks = { type: "patch", patch: { askedBefore: "1" } };
  const ended = [asks, { type: "history", messages: [], complete: false }].reduce(reduce, again);
  assert.equal(ended.complete, true, "an empty answer is not asked for again");
  assert.equal(after(welcome([message("1")], { complete: null })).mayAskOlder, false, "a backend that answers no history");
});

test("a reset leaves nothing of the visitor before", () => {
  const config = { online: true };
  const state = { ...INITIAL, appearance: "the page's", config, sessionId: "vs_1", draft: "a secret", messages: [message("1")], open: true, welcomed: true };
  const { draft, messages, sessionId, open, ...rest } = reduce(state, { type: "reset", open: false });
  assert.deepEqual([draft, messages, sessionId, open], ["", [], null, false]);
  assert.deepEqual([rest.appearance, rest.config], ["the page's", config]);
});

test("a welcome to another conversation begins anew, and leaves what was asked and written in the one before", () => {
  const here = after(
    welcome([message("1"), message("2")], { conversationId: "a", complete: false }),
    { type: "patch", patch: { askedBefore: "1", seenUpTo: "2", transcript: "fetching" } },
    { type: "queued", entries: [{ ...entry("kept"), conversationId: "a", failure: "too_long" }] },
    {
      type: "patch",
      patch: {
        forms: [
          { type: "rate", client_id: "r", score: 5, comment: null },
          { type: "feedback", client_id: "f", message_id: "2", feedback: "helpful" },
          { type: "open_conversation", client_id: "o", conversation_id: null },
        ],
      },
    },
  );
  const there = reduce(here, welcome([message("7")], { conversationId: "b", clientId: "o" }));
  assert.deepEqual(there.messages.map(({ id }) => id), ["7"]);
  assert.deepEqual([there.conversationId, there.seenUpTo, there.gapAfter, there.askedBefore], ["b", "", "", ""]);
  assert.deepEqual(there.forms.map(({ type }) => type), ["feedback"], "what names its message is still told");
  assert.deepEqual(unseenOutbox(there), [], "what was not sent stays in the conversation it was written in");
  assert.equal(unseenOutbox(here).length, 1);
  assert.equal(nextUnsent(there), undefined);
  const late = reduce(there, { type: "history", messages: [message("0")], complete: true });
  assert.deepEqual(late, there, "the other one's older messages come too late");
  assert.equal(reduce(there, welcome([message("8")], { conversationId: "b" })).messages.length, 2, "the same one goes on");
});

test("an answer to what was written in another conversation takes it from the outbox, and shows it nowhere else", () => {
  const written = { type: "queued", entries: [{ ...entry("x"), conversationId: "a" }] };
  const ack = { type: "ack", clientId: "x", messageId: "3", conversationId: "a", createdAt: "" };
  const elsewhere = after(welcome([message("7")], { conversationId: "b" }), written, ack);
  assert.deepEqual([elsewhere.outbox.length, elsewhere.messages.map(({ id }) => id)], [0, ["7"]]);
  const here = after(welcome([message("1")], { conversationId: "a" }), written, ack);
  assert.deepEqual(here.messages.map(({ id }) => id), ["1", "3"]);
  // The first message of a known visitor begins the conversation: its answer says which one it is.
  const first = after(welcome([], { conversationId: null }), { type: "queued", entries: [entry("x")] }, ack);
  assert.equal(first.conversationId, "a");
});
