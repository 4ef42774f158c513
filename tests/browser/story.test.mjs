// One visit, start to end: five pages of a router with a dialog of the page's, a picture, a person, a cut network and blocked WebSockets. Nothing
// is lost, nothing comes twice, and everything is in order.
import assert from "node:assert/strict";
import { eventually, picture } from "./browser.mjs";
import { MODAL, PNG, bootstrap } from "./fixtures.mjs";
import { Operator } from "./inbox.mjs";
import { ANSWER, GREETING, QUESTION, scene } from "./scene.mjs";

const stage = scene({ withLink: true });


/** Five pages with the snippet, a router, and a modal that is open on each. */
async function fivePages(tenant) {
  const head = `${bootstrap(stage.pages)}<script src="${stage.pages.library("@hotwired/turbo/dist/turbo.es2017-umd.js")}"></script>`;
  const code = await tenant.embedCode();
  return Array.from({ length: 5 }, (_, number) => stage.put(`<p id="page">${number}</p>${MODAL}${code}`, { head }));
}

stage.test("a visit of five pages loses nothing", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const urls = await fivePages(tenant);
  const visitor = await come();
  let isBlocked = false;
  await visitor.context.routeWebSocket(/\/ws\/widget/, (socket) => {
    if (isBlocked) void socket.close({ code: 1006 });
    else socket.connectToServer();
  });
  const tab = await visitor.visit(urls[0]);
  const said = [GREETING];
  const agrees = () =>
    eventually(async () => assert.deepEqual((await tab.bubbles()).map((bubble) => bubble.replace(/^sent: /, "")), said));
  const goTo = async (number) => {
    await tab.page.evaluate((url) => window.Turbo.visit(url), urls[number]);
    await eventually(async () => assert.equal(await tab.page.locator("#page").textContent(), String(number)));
    await eventually(async () => assert.equal(await tab.focused(), "field", "the page's dialog has the focus"));
    assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true", "the chat stays open");
    await agrees();
  };
  const write = async (text) => {
    await tab.input.click();
    await tab.page.keyboard.type(text);
    await tab.page.keyboard.press("Enter");
    said.push(text);
  };

  await eventually(async () => assert.equal(await tab.focused(), "field"));
  await tab.open();
  await write(QUESTION);
  said.push(ANSWER);
  await agrees();

  await goTo(1);
  await tab.widget.locator("input[type=file]").setInputFiles({ name: "box.png", mimeType: "image/png", buffer: PNG });
  await tab.widget.getByText("Ready").waitFor({ state: "attached" });
  await goTo(2);
  await write("I want to talk to a human about this box");
  await tab.widget.getByRole("link", { name: "box.png" }).waitFor();

  const inbox = await ada.sitDown(await come());
  await inbox.open();
  await inbox.button("Claim").click();
  await inbox.write("I see the box.");
  await tab.widget.getByText("I see the box.", { exact: true }).waitFor();
  // What the bot says when it hands over is the reference backend's own.
  said.splice(1, said.length, ...(await tenant.messages()).filter(({ role }) => role !== "system").map(({ content }) => content));
  await agrees();
  await picture(tab.page, "story-person");

  await goTo(3);
  stage.link.cut();
  await write("written without a network");
  const meanwhile = ["said meanwhile, one", "said meanwhile, two"];
  for (const text of meanwhile) await inbox.write(text);
  await eventually(async () => assert.equal((await tenant.messages()).at(-1).content, meanwhile[1]));
  await tab.page.evaluate((url) => window.Turbo.visit(url), urls[4]);
  await eventually(async () => assert.equal(await tab.page.locator("#page").textContent(), "4"));
  stage.link.mend();
  await tab.page.evaluate(() => window.dispatchEvent(new Event("online")));
  said.splice(said.length - 1, 0, ...meanwhile);
  await agrees();

  isBlocked = true;
  stage.link.cut();
  await eventually(async () => assert.equal(await tab.trouble.isVisible(), true));
  stage.link.mend();
  await write("written without WebSockets");
  await agrees();
  await inbox.says("visitor: written without WebSockets");
  await inbox.write("It comes by calls.");
  said.push("It comes by calls.");
  await agrees();

  const kept = (await tenant.messages()).filter(({ role }) => role !== "system");
  assert.deepEqual([GREETING, ...kept.map(({ content }) => content)], said);
  assert.deepEqual(kept.flatMap(({ attachments }) => attachments.map(({ name }) => name)), ["box.png"]);
  assert.equal(await tab.page.locator("#field").inputValue(), "", "nothing of it was typed into the page");
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
  assert.ok(visitor.advice.every((line) => line.includes("WebSocket")), visitor.advice.join("\n"));
  await picture(tab.page, "story-end");
});
