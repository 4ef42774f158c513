// What tells a visitor who looks elsewhere: a preview beside the launcher, the page's title, a sound; and the conversation as a file to keep.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { findsNothing } from "./axe.mjs";
import { Tab, eventually, picture } from "./browser.mjs";
import { snippet } from "./fixtures.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

async function chatting(come, options) {
  const tenant = await stage.tenant();
  const visitor = await come(options);
  // Headless pages are always in sight, and say nothing aloud.
  await visitor.context.addInitScript(() => {
    window.look = (visibility) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => visibility });
      document.dispatchEvent(new Event("visibilitychange"));
    };
    window.tones = 0;
    const create = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function createOscillator() {
      window.tones += 1;
      return create.call(this);
    };
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  const menu = tab.widget.locator(".menu");
  const more = tab.widget.getByRole("button", { name: "More" });
  const preview = tab.widget.locator(".greeting");
  return { tenant, visitor, tab, menu, more, preview };
}

stage.test("a new message stands beside the launcher, until it is read or sent away", async (come) => {
  const { tenant, tab, preview } = await chatting(come);
  await tab.launcher.click();
  await tenant.say("agent", "**Your order** is in [the depot](https://depot.example/7).\n\n- box 1\n- box 2");
  await eventually(async () => assert.equal(await preview.locator(".said").textContent(), "Your order is in the depot. box 1, box 2"));
  assert.equal(await preview.locator(".sayer").textContent(), "Support");
  await preview.waitFor();
  await picture(tab.page, "preview");
  await findsNothing(tab.page);
  await preview.getByRole("button", { name: "Your order" }).click();
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  await tab.launcher.click();
  assert.equal(await preview.isVisible(), false, "it was read");

  await tenant.say("agent", "One more thing");
  await preview.getByText("One more thing").waitFor();
  await preview.getByRole("button", { name: "Dismiss" }).click();
  assert.equal(await preview.isVisible(), false);
  assert.equal(await tab.badge.textContent(), "1", "it is unread all the same");
  await tab.page.reload();
  await eventually(async () => assert.equal(await tab.badge.textContent(), "1"));
  await tenant.say("agent", "And another");
  await preview.getByText("And another").waitFor();
});

stage.test("a visitor asks for a person from the menu, in the page's language, and keeps what is in the field", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode(), { lang: "de" }));
  await tab.open();
  await tab.input.fill("ein Entwurf");
  const more = tab.widget.getByRole("button", { name: "Mehr" });
  const ask = tab.widget.getByRole("menuitem", { name: "Ich möchte mit einem Menschen sprechen" });
  await more.click();
  assert.equal(await ask.evaluate((node) => node.getRootNode().activeElement === node), true, "it comes first");
  await findsNothing(tab.page);
  await picture(tab.page, "menu");
  await ask.click();
  await eventually(async () => assert.ok((await tab.bubbles()).includes("sent: Ich möchte mit einem Menschen sprechen")));
  await eventually(async () => assert.equal(await tab.status.textContent(), "Warten auf eine Person"));
  assert.equal(await tab.input.inputValue(), "ein Entwurf");
  await more.click();
  assert.equal(await ask.isVisible(), false, "a person is awaited");
});

stage.test("the page's title counts what is unread while the visitor looks at another tab", async (come) => {
  const { tenant, tab } = await chatting(come);
  const titled = (title) => eventually(async () => assert.equal(await tab.page.title(), title));
  await tenant.say("agent", "Are you there?");
  await tab.widget.getByText("Are you there?", { exact: true }).waitFor();
  await titled("A shop");
  await tab.page.evaluate(() => window.look("hidden"));
  await tenant.say("agent", "Hello?");
  await titled("(1) A shop");
  await tenant.say("agent", "Hello again");
  await titled("(2) A shop");
  await tab.page.evaluate(() => (document.title = "Another title"));
  await tenant.say("agent", "Well?");
  await titled("(3) Another title");
  await tab.page.evaluate(() => window.look("visible"));
  await titled("Another title");

  await tab.page.evaluate(() => {
    document.querySelector("script[data-public-key]").dataset.titleCount = "none";
    window.look("hidden");
  });
  await tenant.say("agent", "Not counted");
  await tab.widget.getByText("Not counted", { exact: true }).waitFor({ state: "attached" });
  await titled("Another title");
  await tab.page.evaluate(() => delete document.querySelector("script[data-public-key]").dataset.titleCount);
  await titled("(1) Another title");
  await tab.widget.evaluate((element) => element.remove());
  await titled("Another title");
});

stage.test("two widgets count in one title, and the title is the page's again when both have gone", async (come) => {
  const { tenant, tab } = await chatting(come);
  const other = await stage.tenant();
  const { src, tenantId, publicKey } = await snippet(other);
  await tab.page.evaluate(
    (data) => document.body.append(Object.assign(document.createElement("script"), { src: `${data.src}?tenant_id=${data.tenantId}&public_key=${data.publicKey}` })),
    { src, tenantId, publicKey },
  );
  const second = new Tab(tab.page, { index: 1 });
  await answers(second);
  const titled = (title) => eventually(async () => assert.equal(await tab.page.title(), title));
  await tab.page.evaluate(() => window.look("hidden"));
  await tenant.say("agent", "Are you there?");
  await titled("(1) A shop");
  await other.say("agent", "Hello?");
  await titled("(2) A shop");
  await tab.page.locator("chat-relay-widget").first().evaluate((element) => element.remove());
  await titled("(1) A shop");
  await tab.page.evaluate(() => window.look("visible"));
  await titled("A shop");
});

stage.test("a sound is off until it is asked for, and tells only what the visitor does not see", async (come) => {
  const { tenant, tab, menu, more } = await chatting(come);
  const tones = (count) => eventually(async () => assert.equal(await tab.page.evaluate(() => window.tones), count));
  const say = async (words) => {
    await tenant.say("agent", words);
    await tab.widget.getByText(words, { exact: true }).first().waitFor({ state: "attached" });
  };
  const sound = menu.getByRole("menuitemcheckbox", { name: "Sound for new messages" });
  await tab.launcher.click();
  await say("Nobody hears this");
  await tones(0);
  await tab.launcher.click();
  await more.click();
  assert.equal(await sound.getAttribute("aria-checked"), "false");
  await sound.click();
  assert.equal(await sound.getAttribute("aria-checked"), "true");
  await tones(2);
  await tab.page.keyboard.press("Escape");
  await say("This is seen");
  await tones(2);
  await tab.launcher.click();
  await say("This is not");
  await tones(4);

  await tab.page.reload();
  await tab.open();
  await more.click();
  assert.equal(await sound.getAttribute("aria-checked"), "true");
  await tab.page.evaluate(() => window.ChatRelay.reset());
  await tab.open();
  await more.click();
  assert.equal(await sound.getAttribute("aria-checked"), "false", "the next visitor has not asked for it");
});

stage.test("the whole conversation is saved as a file, what was not loaded too", async (come) => {
  const { tenant, tab, menu, more } = await chatting(come);
  for (let number = 1; number <= 120; number += 1) await tenant.say(number % 2 === 0 ? "agent" : "bot", `Step ${number}`);
  await tab.page.reload();
  await tab.open();
  await tab.widget.getByText("Step 120", { exact: true }).waitFor();
  const [download] = await Promise.all([
    tab.page.waitForEvent("download"),
    more.click().then(() => menu.getByRole("menuitem", { name: "Save the conversation" }).click()),
  ]);
  assert.match(download.suggestedFilename(), /^chat-\d{4}-\d\d-\d\d\.txt$/);
  const text = readFileSync(await download.path(), "utf8");
  const said = text.split("\r\n").filter((line) => line.startsWith("Step ") || line === QUESTION || line === ANSWER);
  assert.deepEqual(said, [QUESTION, ANSWER, ...Array.from({ length: 120 }, (_, number) => `Step ${number + 1}`)]);
  assert.match(text, /Today/);
  assert.match(text, /\d?\d:\d\d You said:/);
  assert.match(text, /\d?\d:\d\d Support said:/);
  assert.doesNotMatch(text, /Earlier messages/);

  // Where the relay cannot be asked, what is here is saved, and the file says what is missing.
  await tab.page.reload();
  await tab.widget.getByText("Step 120", { exact: true }).waitFor();
  await tab.page.context().setOffline(true);
  await tab.page.evaluate(() => window.dispatchEvent(new Event("offline")));
  await tab.trouble.waitFor();
  const [part] = await Promise.all([
    tab.page.waitForEvent("download"),
    more.click().then(() => menu.getByRole("menuitem", { name: "Save the conversation" }).click()),
  ]);
  const parted = readFileSync(await part.path(), "utf8");
  assert.match(parted, /Earlier messages are not in this file\./);
  assert.match(parted, /Step 120/);
});

stage.test("the menu is worked by keys, and a click anywhere else closes it", async (come) => {
  const { tab, menu, more } = await chatting(come, { viewport: { width: 360, height: 740 } });
  const { keyboard } = tab.page;
  await more.focus();
  await keyboard.press("Enter");
  await menu.waitFor();
  await picture(tab.page, "menu-360");
  await findsNothing(tab.page);
  const focused = () => tab.widget.evaluate(({ shadowRoot }) => shadowRoot.activeElement.textContent);
  assert.equal(await focused(), "I want to talk to a person");
  for (const next of ["New conversation", "Your conversations", "Sound for new messages"]) {
    await keyboard.press("ArrowDown");
    assert.equal(await focused(), next);
  }
  await keyboard.press("ArrowDown");
  assert.equal(await focused(), "Save the conversation");
  await keyboard.press("ArrowDown");
  assert.equal(await focused(), "I want to talk to a person");
  await keyboard.press("End");
  assert.equal(await focused(), "Save the conversation");
  await keyboard.press("Escape");
  await menu.waitFor({ state: "hidden" });
  assert.equal(await tab.focused(), "more");
  assert.equal(await tab.panel.getAttribute("data-open"), "true", "Escape closes the menu alone");
  await keyboard.press("ArrowDown");
  await menu.waitFor();
  await keyboard.press("Tab");
  await menu.waitFor({ state: "hidden" });
  assert.equal(await tab.focused(), "close");
  await more.click();
  await menu.waitFor();
  await tab.page.mouse.click(100, 500);
  await menu.waitFor({ state: "hidden" });
  assert.equal(await tab.panel.getAttribute("data-open"), "true");
});
