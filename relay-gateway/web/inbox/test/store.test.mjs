// The reducer: what frames, answers and the operator make of the state.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./source.mjs";

const { reduce, start } = await load("store.ts");
const { fill, isIn, visitorName } = await load("model.ts");

const ME = { operator_id: "ada", display_name: "Ada", email: "", routing_keys: [], token_expires_at: "" };
const COUNTS = { waiting: 0, mine: 0, assigned: 0, resolved: 0, all: 0 };
const NOW = Date.parse("2026-11-27T10:00:00Z");
const conversation = (id, fields = {}) => ({
  id, visitor_user_id: `vs_${id}`, visitor_display_name: null, visitor_email: null, handling: "waiting", operator: null,
  waiting_since: `2026-11-27T09:0${id}:00Z`, last_message_at: null, snoozed_until: null, tags: [], ...fields,
});
const queued = (id, fields) => ({ ...conversation(id, fields), last_message: null, unread: 0 });
const listed = (...items) => ({ type: "listed", items, counts: COUNTS, next: null, after: null, queue: "waiting", search: "" });
const changed = (conversation, last = null) => ({ type: "changed", conversation, last, now: NOW });
const message = (id, fields = {}) => ({ id, role: "visitor", content: "hi", internal: false, ...fields });
const after = (...all) => all.reduce(reduce, { ...start, me: ME });
const ids = (state) => state.list.map(({ id }) => id);

test("a conversation takes its place in the queue, and leaves it", () => {
  const two = after(listed(queued(1), queued(3)), changed(conversation(2)));
  assert.deepEqual(ids(two), [1, 2, 3]);
  assert.deepEqual(ids(reduce(two, changed(conversation(1, { handling: "assigned" })))), [2, 3]);
  const snoozed = changed(conversation(2, { snoozed_until: "2026-11-27T11:00:00Z" }));
  assert.deepEqual(ids(reduce(two, snoozed)), [1, 3]);
});

test("a visitor's message is unread once, until it is looked at", () => {
  const heard = changed(conversation(1), message("a"));
  const once = after(listed(queued(1)), heard);
  assert.equal(once.list[0].unread, 1);
  assert.equal(reduce(once, heard).list[0].unread, 1, "the same message again");
  assert.equal(reduce(once, { type: "read", id: 1, up_to: "a" }).list[0].unread, 0);
  assert.equal(after(listed(queued(1)), { type: "selected", id: 1 }, heard).list[0].unread, 0);
});

test("an answer to an earlier question is not shown", () => {
  const asked = after({ type: "queue", queue: "mine", search: "" }, listed(queued(1)));
  assert.equal(asked.list, null);
});

test("entries stand once, in the order of their ids, whatever brings them", () => {
  const state = after(
    { type: "selected", id: 1 },
    { type: "entry", id: 1, entry: message("c") },
    { type: "entries", id: 1, items: [message("a"), message("c")], complete: true, isEarlier: false },
    { type: "entry", id: 2, entry: message("b") },
  );
  assert.deepEqual(state.entries.map(({ id }) => id), ["a", "c"]);
});

const pending = { conversation_id: 1, client_id: "x", content: "hello", state: "sending", why: "" };

test("a message that is acknowledged after the operator went on stays in its own conversation", () => {
  const state = after(
    { type: "selected", id: 1 },
    { type: "written", pending },
    { type: "selected", id: 2 },
    { type: "sent", id: 1, client_id: "x", entry: message("a", { role: "agent" }) },
  );
  assert.deepEqual([state.pending, state.entries], [[], []]);
});

test("a message that did not arrive stays until it is sent or discarded", () => {
  const unsent = { type: "unsent", client_id: "x", state: "refused", why: "no" };
  const refused = after({ type: "selected", id: 1 }, { type: "written", pending }, unsent, { type: "selected", id: 2 });
  assert.deepEqual(refused.pending, [{ ...pending, state: "refused", why: "no" }]);
  assert.deepEqual(reduce(refused, { type: "sending", client_id: "x" }).pending, [pending]);
  assert.deepEqual(reduce(refused, { type: "discarded", client_id: "x" }).pending, []);
});

test("a page that does not meet what was known takes its place, so that no gap stays", () => {
  const page = (...items) => ({ type: "entries", id: 1, items, complete: false, isEarlier: false });
  const known = [{ type: "selected", id: 1 }, { ...page(message("a"), message("b")), complete: true }];
  assert.deepEqual(after(...known, page(message("b"), message("c"))).entries.map(({ id }) => id), ["a", "b", "c"]);
  const state = after(...known, { type: "entry", id: 1, entry: message("z") }, page(message("x"), message("y")));
  assert.deepEqual([state.entries.map(({ id }) => id), state.complete], [["x", "y", "z"], false]);
});

test("a page of the list that comes twice is dropped", () => {
  const first = { ...listed(queued(1)), next: "c" };
  const more = { ...listed(queued(2)), after: "c", next: "d" };
  const state = after(first, more, { ...more, next: "x" });
  assert.deepEqual([ids(state), state.next], [[1, 2], "d"]);
});

test("mine are those of this operator", () => {
  const of = (operator_id) => conversation(1, { handling: "assigned", operator: { operator_id } });
  assert.equal(isIn("mine", of("ada"), "ada", NOW), true);
  assert.equal(isIn("mine", of("ben"), "ada", NOW), false);
  assert.equal(isIn("assigned", of("ben"), "ada", NOW), true);
});

test("a saved reply is filled, and what it does not know stays", () => {
  assert.equal(fill("Hi {{ visitor_name }}, {{order}}", { visitor_name: "Mary" }), "Hi Mary, {{order}}");
  assert.equal(fill("{{constructor}}", {}), "{{constructor}}");
});

test("a visitor without a name has the end of the session's", () => {
  assert.equal(visitorName(conversation(1, { visitor_user_id: "vs_abcdef" }), "Visitor"), "Visitor cdef");
});
