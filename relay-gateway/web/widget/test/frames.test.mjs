// The golden frames, as the widget reads them.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { load } from "./source.mjs";

const { parseFrame } = await load("protocol.ts");
const golden = JSON.parse(await readFile(new URL("../../../../tests/vectors/frames.json", import.meta.url), "utf8"));
const read = (name) => parseFrame(golden.server[name]);

test("each golden frame of the server is read", () => {
  for (const [name, frame] of Object.entries(golden.server)) {
    const { type } = parseFrame(frame) ?? {};
    assert.equal(type, frame.type, name);
  }
});

test("what a golden frame says reaches the widget", () => {
  const [sent] = golden.server.welcome.history;
  assert.deepEqual(read("welcome"), {
    type: "welcome",
    clientId: null,
    conversationId: golden.server.welcome.conversation_id,
    sessionId: golden.server.welcome.session_id,
    status: "assigned",
    history: [
      { id: sent.id, role: "visitor", content: sent.content, createdAt: sent.created_at, attachments: [], sources: [], clientId: sent.client_id, feedback: null, quickReplies: [] },
    ],
    complete: false,
    readUpTo: sent.id,
    operator: { displayName: "Amina", avatarUrl: "https://cdn.example.com/amina.png" },
    mayRate: true,
    rating: null,
    mayLeaveEmail: true,
    email: "ada@example.com",
    expectedWaitS: null,
    mayOpen: true,
  });
  const elsewhere = read("welcome_to_another_conversation");
  assert.deepEqual([elsewhere.clientId, elsewhere.expectedWaitS, elsewhere.mayOpen], ["6f1c1a52-5a0e-4a53-9d5f-0a4e6f0f3b17", 240, true]);
  const offering = read("message_with_quick_replies").message;
  assert.deepEqual([read("message").message.feedback, offering.feedback, offering.quickReplies], ["asked", null, ["Returns", "Payment"]]);
  assert.deepEqual(read("feedback"), { type: "feedback", messageId: golden.server.message.message.id, feedback: "helpful" });
  const [listed] = golden.server.conversations.conversations;
  assert.deepEqual(read("conversations").past, [
    { id: listed.conversation_id, preview: listed.preview, at: listed.last_message_at, unread: false },
  ]);
  assert.deepEqual(read("welcome_to_a_resolved_conversation").rating, { score: 4, comment: "Quick." });
  assert.equal(read("welcome_to_a_resolved_conversation").complete, null, "a backend that answers no history");
  const { messages, complete } = read("history");
  assert.deepEqual([messages.map(({ content }) => content), complete], [["Good morning!"], true]);
  assert.deepEqual(read("rating"), { type: "rating", rating: { score: 5, comment: null } });
  assert.deepEqual(read("rating_forgotten"), { type: "rating", rating: null });
  assert.deepEqual(read("email"), { type: "email", email: "ada@example.com" });
  const { ack } = golden.server;
  assert.deepEqual(read("ack"), {
    type: "ack",
    clientId: ack.client_id,
    messageId: ack.message_id,
    conversationId: ack.conversation_id,
    createdAt: ack.created_at,
  });
  assert.deepEqual(read("message").message.sources, [{ title: "Delivery", url: "https://shop.demo.com/help/delivery" }]);
  assert.deepEqual(read("typing"), { type: "typing", role: "bot" });
  assert.deepEqual(read("status"), { type: "status", status: "waiting", operator: null, expectedWaitS: null });
  assert.equal(read("status_with_expected_wait").expectedWaitS, 240);
  assert.deepEqual(read("status_with_operator").operator, { displayName: "Amina", avatarUrl: null });
  assert.equal(read("config").config.themeColour, "#0055cc");
  const { error_to_come_back_from: error } = golden.server;
  assert.deepEqual(read("error_to_come_back_from"), {
    type: "error",
    code: error.error_code,
    message: error.message,
    clientId: error.client_id,
    retryAfterMs: 1000,
  });
  assert.equal(read("error_of_no_message").clientId, null);
});

test("hostile frames are ignored or made harmless", () => {
  for (const hostile of ["", null, [], 7, "{", { type: "hello" }, { type: ["message"] }, { type: "message" }, { type: "ack" }]) {
    assert.equal(parseFrame(hostile), null, JSON.stringify(hostile));
  }
  const frame = structuredClone(golden.server.welcome);
  frame.operator.avatar_url = "javascript:alert(1)";
  frame.rating = { score: 6 };
  for (const name of ["may_rate", "may_leave_email"]) frame[name] = "yes";
  assert.equal(parseFrame({ type: "email", email: 7 }), null);
  const { rating, mayRate, mayLeaveEmail } = parseFrame(frame);
  assert.deepEqual([rating, mayRate, mayLeaveEmail], [null, false, false]);
  frame.history.push(null, { id: "x", role: "king", content: "" });
  const { operator, history } = parseFrame(frame);
  assert.equal(operator.avatarUrl, null);
  assert.equal(history.length, 1);
});
