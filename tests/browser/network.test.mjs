// Networks and relays that go away, and come back: each message is there once, on both sides, in the order it was written.
import assert from "node:assert/strict";
import { Tab, eventually } from "./browser.mjs";
import { scene } from "./scene.mjs";

const stage = scene({ withLink: true });
const GREETING = "Hello! How can we help?";
const QUESTION = "Where is my order?";
const ANSWER = "Track your order from the link in your e-mail.";
const OFFLINE = "You are offline. Messages are kept and sent when you are back.";

/** A panel with a conversation in which a person answers, so that nothing but what is written here is said. */
async function talking(come) {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.write(QUESTION);
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await tenant.say("agent", "I am here.");
  const begun = [GREETING, `sent: ${QUESTION}`, ANSWER, "I am here."];
  await eventually(async () => assert.deepEqual(await tab.bubbles(), begun));
  return { tenant, visitor, tab, begun };
}

/** What the relay has is what the tab shows, now and after a reload. */
async function agrees(tenant, tab, shown) {
  await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
  const said = shown.slice(1).map((text) => text.replace(/^sent: /, ""));
  assert.deepEqual((await tenant.messages()).map(({ content }) => content), said);
  await tab.page.reload();
  await tab.open();
  await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
  const unsent = await tab.page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(":out:")));
  assert.deepEqual(unsent, []);
}

stage.test("what is written offline is kept, and sent once and in order when the browser is online", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  await visitor.context.setOffline(true);
  await eventually(async () => assert.equal(await tab.trouble.textContent(), OFFLINE));
  for (const text of ["one", "two", "three"]) await tab.write(text);
  assert.deepEqual(await tab.bubbles(), [...begun, "sending: one", "sending: two", "sending: three"]);
  assert.equal((await tenant.messages()).length, 3);
  await visitor.context.setOffline(false);
  await eventually(async () => assert.equal(await tab.trouble.isVisible(), false));
  await agrees(tenant, tab, [...begun, "sent: one", "sent: two", "sent: three"]);
});

stage.test("a message whose acknowledgement was lost is there once", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  await tab.page.evaluate(() => {
    const log = document.querySelector("chat-relay-widget").shadowRoot.querySelector(".log");
    window.mostCopies = 0;
    new MutationObserver(() => {
      const copies = [...log.querySelectorAll(".bubble")].filter(({ textContent }) => textContent === "only once");
      window.mostCopies = Math.max(window.mostCopies, copies.length);
    }).observe(log, { childList: true, subtree: true });
  });
  stage.link.loseAnswers();
  await tab.write("only once");
  await eventually(async () => assert.equal((await tenant.messages()).at(-1).content, "only once"));
  assert.equal((await tab.bubbles()).at(-1), "sending: only once");
  stage.link.cut();
  await tab.write("and then this");
  stage.link.mend();
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "sent: and then this"));
  assert.equal(await tab.page.evaluate(() => window.mostCopies), 1, "it is never shown twice");
  await agrees(tenant, tab, [...begun, "sent: only once", "sent: and then this"]);
});

stage.test("a connection that has gone silent is given up, and the message sent over another one", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  const page = await visitor.context.newPage();
  await page.clock.install();
  await page.goto(tab.page.url());
  const late = new Tab(page);
  await late.open();
  await eventually(async () => assert.deepEqual(await late.bubbles(), begun));
  stage.link.loseAnswers();
  await late.write("hello?");
  await eventually(async () => assert.equal((await tenant.messages()).at(-1).content, "hello?"));
  stage.link.hearAgain();
  await page.clock.fastForward("00:21");
  await eventually(async () => assert.deepEqual(await late.bubbles(), [...begun, "sent: hello?"]));
  // Else the reload would try what Chromium keeps of the silent connections.
  stage.link.cut();
  stage.link.mend();
  await agrees(tenant, late, [...begun, "sent: hello?"]);
});

stage.test("what was written before a reload without a network is sent after it", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  stage.link.cut();
  await tab.write("one");
  await tab.write("two");
  await tab.page.reload();
  await eventually(async () => {
    const kept = await tab.page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(":out:")));
    assert.equal(kept.length, 2);
  });
  stage.link.mend();
  await tab.open();
  await agrees(tenant, tab, [...begun, "sent: one", "sent: two"]);
});

stage.test("a killed relay comes back with the conversation, and takes what was written meanwhile once", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  await tab.write("before");
  await stage.relay.kill();
  await tab.write("during");
  await tab.write("during it still");
  await eventually(async () => assert.equal(await tab.trouble.textContent(), "Reconnecting…"));
  await stage.relay.restart();
  await eventually(async () => assert.equal(await tab.trouble.isVisible(), false));
  await tab.write("after");
  await agrees(tenant, tab, [...begun, "sent: before", "sent: during", "sent: during it still", "sent: after"]);
});

stage.test("everything said during a long absence arrives, once and in order", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  stage.link.cut();
  await eventually(async () => assert.equal(await tab.trouble.textContent(), "Reconnecting…"));
  // More than the history that greets a returning visitor.
  const news = Array.from({ length: 60 }, (_, number) => `news ${number}`);
  for (const text of news) await tenant.say("agent", text);
  stage.link.mend();
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [...begun, ...news]));
  assert.equal((await tenant.messages()).length, 63);
});
