// A conversation longer than what a page is welcomed with: it is read backwards, in place, without stutter.
import assert from "node:assert/strict";
import { Tab, eventually } from "./browser.mjs";
import { answers, scene } from "./scene.mjs";

const stage = scene();

/** The page of a visitor who has a conversation in which a person has said this many things. */
async function talked(come, count) {
  const tenant = await stage.tenant();
  const visitor = await come();
  const url = stage.put(await tenant.embedCode());
  const tab = await visitor.visit(url);
  await answers(tab);
  const { id } = await tenant.conversation();
  for (let number = 1; number <= count; number += 1) {
    await tenant.signed("POST", `add/message?conversation_id=${id}`, { role: "agent", content: `Step ${number}` });
  }
  await tab.page.close();
  return { tenant, visitor, url };
}

const scroller = (tab) => tab.widget.locator(".scroller");
const steps = async (tab) => (await tab.bubbles()).filter((text) => text.startsWith("Step "));

stage.test("who scrolls up reads the whole conversation, in order, and stays where they read", async (come) => {
  const { tenant, visitor, url } = await talked(come, 170);
  const asked = [];
  visitor.context.on("page", (page) => page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => asked.push(JSON.parse(payload).type))));
  const heard = [];
  const again = await visitor.visit(url);
  await again.page.exposeFunction("heard", (content) => heard.push(content));
  await again.page.evaluate(() => window.ChatRelay.on("message", ({ content }) => window.heard(content)));
  await again.open();
  await again.widget.getByText("Step 170", { exact: true }).waitFor();
  assert.equal((await steps(again)).length, 50);
  // By the wheel, a little at a time, to the very beginning; what is in sight must not jump as older messages come in.
  await scroller(again).hover();
  const jumps = [];
  // Bounded by turns of the wheel: how long they take is the machine's business.
  let isAtBeginning = false;
  for (let turns = 0; turns < 400 && !isAtBeginning; turns += 1) {
    const before = await scroller(again).evaluate((node) => {
      const top = node.getBoundingClientRect().top;
      const shown = [...node.querySelectorAll(".row")].find((row) => row.getBoundingClientRect().bottom > top);
      window.reading = shown;
      return [node.scrollTop, shown.getBoundingClientRect().top, node.scrollHeight];
    });
    await again.page.mouse.wheel(0, -120);
    await again.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 60)));
    const after = await scroller(again).evaluate((node) => [window.reading.getBoundingClientRect().top, node.scrollHeight, node.scrollTop]);
    const moved = after[0] - before[1];
    if (moved < -1 || moved > 140) jumps.push(`${moved} px while ${after[1] - before[2]} px came in`);
    isAtBeginning = after[2] === 0 && (await again.bubbles())[0] === "Hello! How can we help?";
  }
  assert.ok(isAtBeginning, "the beginning is reached");
  assert.deepEqual(jumps, []);
  assert.deepEqual(await steps(again), Array.from({ length: 170 }, (_, index) => `Step ${index + 1}`));
  assert.equal(asked.filter((type) => type === "history").length, 3, "172 messages: 50, and three times more");
  assert.deepEqual(heard, [], "old messages are no news");

  await tenant.say("agent", "Step 171");
  await again.widget.getByRole("button", { name: "New messages" }).waitFor();
  assert.equal(await scroller(again).evaluate((node) => node.scrollTop), 0);
  await again.write("thank you");
  await eventually(async () => assert.equal((await again.bubbles()).at(-1), "sent: thank you"));
  const left = await scroller(again).evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop);
  assert.ok(left < 1, "who writes sees what they wrote");
});

stage.test("two thousand messages are read back", async (come) => {
  const MESSAGES = 2000;
  // What the relay itself has kept: a question, its answer, and what the person said.
  const SAID = 51;
  const { visitor, url } = await talked(come, 49);
  const page = await visitor.context.newPage();
  // The relay's own answers, but for what was said before: that is made here.
  await page.routeWebSocket(/\/ws\/widget/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((text) => {
      const frame = JSON.parse(text);
      socket.send(frame.type === "welcome" ? JSON.stringify({ ...frame, complete: false }) : text);
    });
    socket.onMessage((text) => {
      const frame = JSON.parse(text);
      if (frame.type !== "history") return server.send(text);
      // Ids of their own, which are less than the relay's.
      const end = frame.before.startsWith("0000-") ? Number(frame.before.slice(5)) : MESSAGES;
      const numbers = Array.from({ length: Math.min(frame.limit, end) }, (_, index) => end - Math.min(frame.limit, end) + index);
      const messages = numbers.map((number) => ({
        id: `0000-${String(number).padStart(5, "0")}`,
        role: number % 3 ? "agent" : "visitor",
        content: `Message ${number} of long ago. `.repeat(1 + (number % 5)),
        citations: [],
        attachments: [],
        created_at: new Date(Date.UTC(2020, 0, 1) + number * 3_600_000).toISOString(),
      }));
      socket.send(JSON.stringify({ type: "history", messages, complete: numbers[0] === 0 }));
    });
  });
  await page.goto(url);
  const tab = new Tab(page);
  await tab.open();
  await tab.widget.getByText("Step 49", { exact: true }).waitFor();
  const scrolled = await scroller(tab).evaluate(async (node, count) => {
    const frames = [];
    const deadline = performance.now() + 60_000;
    while (node.querySelectorAll(".bubble").length < count && performance.now() < deadline) {
      const begun = performance.now();
      node.scrollBy(0, -400);
      await new Promise((resolve) => requestAnimationFrame(resolve));
      frames.push(performance.now() - begun);
    }
    frames.sort((one, other) => one - other);
    return { bubbles: node.querySelectorAll(".bubble").length, median: frames[frames.length >> 1], late: frames[Math.floor(frames.length * 0.99)] };
  }, MESSAGES + SAID);
  console.log(`${MESSAGES} messages: a frame took ${scrolled.median.toFixed(1)} ms, 1 in 100 more than ${scrolled.late.toFixed(1)} ms`);
  assert.ok(scrolled.bubbles >= MESSAGES + SAID, `${scrolled.bubbles} messages`);
  const typed = await tab.input.evaluate((input) => {
    const begun = performance.now();
    for (let number = 0; number < 20; number += 1) {
      input.value += "x";
      input.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true }));
      input.getBoundingClientRect();
    }
    return (performance.now() - begun) / 20;
  });
  console.log(`a key took ${typed.toFixed(1)} ms`);
  assert.deepEqual((await tab.bubbles()).slice(0, 2), ["Hello! How can we help?", "sent: Message 0 of long ago. "]);
});
