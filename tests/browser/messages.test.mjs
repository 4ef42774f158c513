// What messages look like: marks, sources, and whose chat it is.
import assert from "node:assert/strict";
import { findsNothing } from "./axe.mjs";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

const MARKED = `**Three ways** to return it, see [our help](https://shop.example/help):

1. by *post*
2. in a shop
   near you
3. with \`returns@shop.example\`

\`\`\`
RMA-1234  <b>not HTML</b>
\`\`\`
![a map](https://maps.example/shop.png) <img src=x onerror="window.hacked = 1"> [bank.example](https://evil.example)`;

stage.test("marks in what the bot and people say are shown, as elements and never as HTML", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  await tenant.say("agent", MARKED);
  await eventually(async () => assert.match((await tab.bubbles()).at(-1), /Three ways/));
  const bubble = tab.widget.locator(".log .bubble").last();
  const texts = (selector) => bubble.locator(selector).allTextContents();
  assert.deepEqual(await texts("strong"), ["Three ways"]);
  assert.deepEqual(await texts("em"), ["post"]);
  assert.deepEqual(await texts("ol > li"), ["by post", "in a shop\nnear you", "with returns@shop.example"]);
  assert.deepEqual(await texts("pre"), ["RMA-1234  <b>not HTML</b>"]);
  assert.equal(await bubble.locator("img, b, script").count(), 0);
  assert.equal(await tab.page.evaluate(() => window.hacked), undefined);
  const links = await bubble.locator("a").evaluateAll((all) => all.map(({ href, textContent, rel, target }) => [textContent, href, rel, target]));
  const safe = ["noopener noreferrer", "_blank"];
  assert.deepEqual(links, [
    ["our help", "https://shop.example/help", ...safe],
    ["a map", "https://maps.example/shop.png", ...safe],
    ["bank.example (evil.example)", "https://evil.example/", ...safe],
  ]);
  // A visitor's own words stay as they were typed.
  await tab.write("2 * 3 and **this** stay");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "sent: 2 * 3 and **this** stay"));
  assert.equal(await tab.widget.locator(".own strong").count(), 0);
  await picture(tab.page, "messages-marked");
});

stage.test("a source is a numbered chip, which opens its page where it has one", async (come) => {
  const tenant = await stage.tenant();
  await tenant.ingest("Orders", ANSWER, "en", { url: "https://shop.example/help/orders" });
  await tenant.ingest("Order changes", "Ask us, and we change it.");
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  const chips = tab.widget.locator(".sources li");
  await eventually(async () => assert.deepEqual((await chips.allTextContents()).sort(), ["Order changes", "Orders"]));
  const link = tab.widget.locator(".sources a");
  assert.equal(await link.count(), 1);
  assert.equal(await link.getAttribute("href"), "https://shop.example/help/orders");
  assert.equal(await link.getAttribute("rel"), "noopener noreferrer");
  await picture(tab.page, "messages-sources");
});

stage.test("the chat is called as its tenant is, unless it has a title of its own", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  assert.equal(await tab.widget.locator(".title").textContent(), "Northwind");
});

stage.test("a visitor begins with a first message of the owner's, by a click or by keys", async (come) => {
  const tenant = await stage.tenant();
  await tenant.customize({ starters: [QUESTION, "I want to talk to a person", "<b>Où</b> est ma commande, que j’attends depuis longtemps déjà ?"] });
  const visitor = await come({ viewport: { width: 360, height: 740 } });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  const group = tab.widget.getByRole("group", { name: "Choose a first message" });
  await eventually(async () => assert.equal(await group.getByRole("button").count(), 3));
  await tab.stands();
  await picture(tab.page, "starters");
  await findsNothing(tab.page);
  const { x, width } = await group.boundingBox();
  assert.ok(x >= 0 && x + width <= 360);
  await tenant.customize({ starters: [QUESTION, "Another"] });
  await eventually(async () => assert.deepEqual(await group.getByRole("button").allTextContents(), [QUESTION, "Another"]));
  await group.getByRole("button", { name: QUESTION }).focus();
  await tab.page.keyboard.press("Enter");
  await eventually(async () => assert.deepEqual((await tab.bubbles()).slice(1), [`sent: ${QUESTION}`, ANSWER]));
  assert.equal(await group.isVisible(), false);
  assert.equal(await tab.focused(), "input", "the visitor goes on where they write");
  await tab.page.reload();
  await tab.open();
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  assert.equal(await group.isVisible(), false);
  assert.equal((await tenant.messages()).filter(({ content }) => content === QUESTION).length, 1);
});
