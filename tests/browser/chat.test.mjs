// One line pasted into a page, and what a visitor, an agent and the tenant's developers then do with it.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";
import { ANSWER, GREETING, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

stage.test("a question is answered from the tenant's knowledge, after a reload too, and in every tab", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const first = await visitor.visit(url);
  await first.open();
  await first.write(QUESTION);
  const asked = [GREETING, `sent: ${QUESTION}`, ANSWER];
  await eventually(async () => assert.deepEqual(await first.bubbles(), asked));
  assert.equal(await first.widget.getByText("Sent", { exact: true }).count(), 1, "the delivery state is said");

  await first.page.reload();
  await first.open();
  await eventually(async () => assert.deepEqual(await first.bubbles(), asked));
  assert.equal(await first.badge.isVisible(), false, "what was read stays read");

  const second = await visitor.visit(url);
  await second.open();
  await eventually(async () => assert.deepEqual(await second.bubbles(), asked));
  await first.write("Do you repair zeppelins?");
  const handedOver = [...asked, "sent: Do you repair zeppelins?"];
  for (const tab of [first, second]) {
    await eventually(async () => {
      assert.deepEqual(await tab.bubbles(), handedOver);
      assert.equal((await tab.lines()).at(-1), "A person will answer you. Your ticket: TCK-000001.");
      assert.equal(await tab.status.textContent(), "Waiting for a person");
      assert.equal(await tab.widget.locator(".typing").isVisible(), false, "the bot has nothing more to write");
    });
  }
  const kept = (await tenant.messages()).map(({ role, content }) => `${role}: ${content}`);
  assert.deepEqual(kept, [
    `visitor: ${QUESTION}`,
    `bot: ${ANSWER}`,
    "visitor: Do you repair zeppelins?",
    "system: A person will answer you. Your ticket: TCK-000001.",
  ]);
  assert.deepEqual(visitor.advice, []);
});

stage.test("nothing is said to the relay about a visitor who does not open the chat", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const calls = [];
  visitor.context.on("request", (request) => calls.push(new URL(request.url()).pathname));
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.widget.locator(".greeting").waitFor();
  assert.deepEqual(calls.filter((path) => path.startsWith("/api/")), ["/api/v1/fetch/widget-config"]);
  assert.deepEqual(await visitor.context.cookies(), []);
  assert.deepEqual(await tenant.conversations(), []);
});

stage.test("an agent takes over: the badge counts, the panel says who speaks, and the bot is silent", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  assert.equal(await tab.status.textContent(), "Typically replies right away");
  await tab.input.press("Escape");

  await tenant.say("agent", "I looked it up: it comes tomorrow.");
  await eventually(async () => assert.equal(await tab.badge.textContent(), "1"));
  assert.equal(await tab.badge.isVisible(), true);
  assert.equal(await tab.launcher.getAttribute("aria-label"), "Open chat, 1 unread message");
  await tenant.say("agent", "In the morning.");
  await eventually(async () => assert.equal(await tab.badge.textContent(), "2"));

  await tab.open();
  const row = tab.widget.locator(".row", { hasText: "I looked it up" });
  assert.equal(await row.locator(".name").textContent(), "Support");
  assert.deepEqual((await tab.lines()).slice(-3), [
    "A person joined",
    "I looked it up: it comes tomorrow.",
    "In the morning.",
  ]);
  assert.equal(await tab.status.textContent(), "You are talking to a person");
  await eventually(async () => assert.equal(await tab.badge.isVisible(), false));

  await tab.write(QUESTION);
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), `sent: ${QUESTION}`));
  const roles = (await tenant.messages()).map(({ role }) => role);
  assert.deepEqual(roles, ["visitor", "bot", "agent", "agent", "visitor"]);

  await tab.page.reload();
  await tab.open();
  await eventually(async () => assert.equal(await tab.status.textContent(), "You are talking to a person"));
  assert.equal(await tab.badge.isVisible(), false, "what was read stays read");
});

stage.test("who reads further up stays there, and is told of what comes below", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  for (let number = 1; number <= 20; number += 1) await tenant.say("agent", `Step ${number}`);
  const step = (number) => tab.widget.getByText(`Step ${number}`, { exact: true });
  await step(20).waitFor();
  const scroller = tab.widget.locator(".scroller");
  await scroller.hover();
  await tab.page.mouse.wheel(0, -5000);
  await eventually(async () => assert.equal(await scroller.evaluate((node) => node.scrollTop), 0));
  await tenant.say("agent", "Step 21");
  const pill = tab.widget.getByRole("button", { name: "New messages" });
  await pill.waitFor();
  assert.equal(await scroller.evaluate((node) => node.scrollTop), 0);
  await pill.click();
  await pill.waitFor({ state: "hidden" });
  const isInSight = () =>
    scroller.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop < 1);
  await eventually(async () => assert.equal(await isInSight(), true));
});

stage.test("what comes while the visitor scrolls up does not stop them", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  for (let number = 1; number <= 20; number += 1) await tenant.say("agent", `Step ${number}`);
  await tab.widget.getByText("Step 20", { exact: true }).waitFor();
  const scroller = tab.widget.locator(".scroller");
  await scroller.focus();
  await Promise.all([
    tab.page.keyboard.press("Home"),
    ...Array.from({ length: 8 }, (_, number) => tenant.say("agent", `Meanwhile ${number}`)),
  ]);
  // All of those may have come before the key was heard.
  await tenant.say("agent", "Afterwards");
  await tab.widget.getByRole("button", { name: "New messages" }).waitFor();
  await eventually(async () => assert.equal(await scroller.evaluate((node) => node.scrollTop), 0));
});

stage.test("who is about to scroll up is not taken back by a change of the room", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  for (let number = 1; number <= 20; number += 1) await tenant.say("agent", `Step ${number}`);
  await tab.widget.getByText("Step 20", { exact: true }).waitFor();
  const scroller = tab.widget.locator(".scroller");
  const frames = () => scroller.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await scroller.evaluate((node) => {
    const log = node.querySelector(".log");
    log.style.minHeight = `${log.offsetHeight + 80}px`;
  });
  await frames();
  // The key is heard, nothing has moved yet, and what was below goes: the newest message is in sight.
  await scroller.evaluate((node) => {
    node.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true, composed: true }));
    node.querySelector(".log").style.minHeight = "";
  });
  await frames();
  await tenant.say("agent", "Meanwhile");
  await tab.widget.getByRole("button", { name: "New messages" }).waitFor();
});

stage.test("a page title cut within an emoji, and half of one in a message, keep nobody from writing", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.addInitScript(() => {
    addEventListener("DOMContentLoaded", () => (document.title = `${"x".repeat(149)}\u{1F600}\ud83d`));
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.input.evaluate((input) => {
    input.value = "\ud83d Where is my order?";
    input.dispatchEvent(new Event("input"));
  });
  await tab.input.press("Enter");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  assert.equal((await tenant.messages())[0].content, "\ufffd Where is my order?");
  assert.deepEqual(visitor.advice, []);
});

stage.test("a new look is there at once in a page that is open", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  assert.equal(await tab.widget.locator(".branding").isVisible(), true);

  await tenant.customize({
    theme_color: "#0F766E",
    position: "bottom-left",
    widget_title: "Northwind <b>Help</b>",
    welcome_message: "Good to see you.",
    placeholder_text: "Ask us anything",
    show_branding: false,
  });
  await eventually(async () => {
    assert.equal(await tab.widget.locator(".title").textContent(), "Northwind <b>Help</b>");
    assert.equal(await tab.input.getAttribute("placeholder"), "Ask us anything");
    assert.equal((await tab.bubbles())[0], "Good to see you.");
    assert.equal(await tab.widget.locator(".branding").isVisible(), false);
    assert.equal(await tab.launcher.evaluate((node) => getComputedStyle(node).backgroundColor), "rgb(15, 118, 110)");
    assert.ok((await tab.launcher.boundingBox()).x < 100, "the launcher is on the left");
  });
});
