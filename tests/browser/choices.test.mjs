// What the visitor chooses by a click: whether an answer helped, a quick reply, another conversation.
import assert from "node:assert/strict";
import { findsNothing } from "./axe.mjs";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, GREETING, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

const shows = (tab, said) => eventually(async () => assert.deepEqual((await tab.bubbles()).slice(-said.length), said));

const item = async (tab, name) => {
  await tab.widget.getByRole("button", { name: "More" }).click();
  return tab.widget.getByRole("menuitem", { name });
};

/** Two tabs of a visitor whose question was answered. */
async function twoTabs(visitor, tenant) {
  const url = stage.put(await tenant.embedCode());
  const tab = await visitor.visit(url);
  await answers(tab);
  const other = await visitor.visit(url);
  await other.open();
  await shows(other, [`sent: ${QUESTION}`, ANSWER]);
  return [tab, other];
}

stage.test("a visitor says whether an answer helped, and the tenant's backend hears it", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  const question = tab.widget.getByText("Did that help?");
  const [yes, no] = ["Yes", "No"].map((name) => tab.widget.getByRole("button", { name, exact: true }));
  await tab.open();
  assert.equal(await question.isVisible(), false, "nothing was answered");
  await answers(tab);
  await question.waitFor();
  await tab.input.fill("a draft");
  await findsNothing(tab.page);
  await picture(tab.page, "did-that-help");
  await no.click();
  await tab.widget.getByText("Thank you for telling us.").waitFor();
  assert.equal(await yes.isVisible(), false);
  assert.equal(await tab.focused(), "input", "the visitor goes on where they write");
  const feedback = async () => (await tenant.messages(await tenant.conversation())).map(({ feedback }) => feedback ?? null);
  await eventually(async () => assert.deepEqual(await feedback(), [null, "unhelpful"]));
  await picture(tab.page, "did-not-help");

  // Whom it did not help may ask for a person, and what is in the field stays.
  await tab.page.reload();
  await tab.widget.getByRole("button", { name: "I want to talk to a person" }).click();
  await shows(tab, ["sent: I want to talk to a person"]);
  await eventually(async () => assert.equal(await tab.status.textContent(), "Waiting for a person"));
  assert.equal(await tab.input.inputValue(), "a draft");
  assert.equal(await question.isVisible(), false, "the answer is not the newest message any more");
});

stage.test("what was said of an answer while the line was cut is told once it is back, and in the visitor's other tab", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const [tab, other] = await twoTabs(visitor, tenant);
  await other.widget.getByText("Did that help?").waitFor();
  await visitor.context.setOffline(true);
  await tab.widget.getByRole("button", { name: "Yes", exact: true }).click();
  await tab.widget.getByText("Thank you for telling us.").waitFor();
  await visitor.context.setOffline(false);
  await other.widget.getByText("Thank you for telling us.").waitFor();
  assert.equal((await tenant.messages(await tenant.conversation()))[1].feedback, "helpful");
});

stage.test("quick replies stand below the newest message, and a click sends one", async (come) => {
  const tenant = await stage.tenant();
  await tenant.ingest("Delivery times", "Parcels arrive within three days.");
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.write("May parcels travel abroad with fragile porcelain inside?");
  const topic = tab.widget.getByRole("button", { name: "Delivery times" });
  await topic.waitFor();
  assert.equal(await tab.widget.getByRole("group", { name: "Suggested replies" }).isVisible(), true);
  await findsNothing(tab.page);
  await picture(tab.page, "quick-replies");
  await topic.press("Enter");
  await shows(tab, ["sent: Delivery times", "Parcels arrive within three days."]);
  assert.equal(await topic.isVisible(), false);
  // Those of the tenant's own bot: hostile ones are texts.
  const replies = ["The blue one", "<img src=x onerror=alert(1)>", "‮عربي"];
  await tenant.say("bot", "Which one?", { quick_replies: replies });
  await eventually(async () => assert.deepEqual(await tab.widget.locator(".starters:visible button").allTextContents(), replies));
});

stage.test("who waits for a person is told how long that usually takes", async (come) => {
  const tenant = await stage.tenant();
  const wait = async (locale) => {
    const visitor = await come({ locale, viewport: { width: 360, height: 740 } });
    const tab = await visitor.visit(stage.put(await tenant.embedCode(), { lang: locale }));
    await tab.open();
    await tab.write("I want to talk to a person");
    return tab;
  };
  for (let count = 0; count < 3; count += 1) {
    const tab = await wait("en");
    await eventually(async () => assert.equal(await tab.status.textContent(), "Waiting for a person"));
    const [{ id }] = await tenant.conversations();
    await tenant.signed("POST", `add/message?conversation_id=${id}`, { role: "agent", content: "Here I am." });
    await eventually(async () => assert.equal(await tab.status.textContent(), "You are talking to a person"));
  }
  const tab = await wait("en");
  await eventually(async () => assert.equal(await tab.status.textContent(), "Waiting for a person, usually 1 minute"));
  await picture(tab.page, "expected-wait-360");
  await findsNothing(tab.page);
  const german = await wait("de");
  await eventually(async () => assert.equal(await german.status.textContent(), "Warten auf eine Person, meist 1 Minute"));
});

stage.test("a visitor begins a new conversation, and goes back to an earlier one, with every tab", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const url = stage.put(await tenant.embedCode());
  const tab = await visitor.visit(url);
  await tab.open();
  assert.equal(await (await item(tab, "New conversation")).isDisabled(), true, "it is new");
  await tab.page.keyboard.press("Escape");
  await answers(tab);
  const other = await visitor.visit(url);
  await other.open();
  await shows(other, [`sent: ${QUESTION}`, ANSWER]);
  const heard = await other.page.evaluate(() => {
    window.heard = [];
    window.ChatRelay.on("message", ({ content }) => window.heard.push(content));
    return window.heard;
  });
  assert.deepEqual(heard, []);

  await (await item(tab, "New conversation")).click();
  await shows(tab, [GREETING]);
  await shows(other, [GREETING]);
  await tab.write("hello");
  await shows(tab, ["sent: hello", "Hello! What can I do for you?"]);
  await shows(other, ["sent: hello", "Hello! What can I do for you?"]);
  assert.equal((await tenant.conversations()).length, 2);

  await (await item(tab, "Your conversations")).click();
  const list = tab.widget.getByRole("group", { name: "Your conversations" });
  await list.waitFor();
  assert.equal(await tab.input.isVisible(), false);
  assert.equal(await tab.focused(), "back");
  const previews = tab.widget.locator(".past .preview");
  assert.deepEqual(await previews.allTextContents(), ["Hello! What can I do for you?", ANSWER]);
  await findsNothing(tab.page);
  await picture(tab.page, "conversations");
  await tab.page.keyboard.press("Escape");
  assert.equal(await list.isVisible(), false);
  assert.equal(await tab.panel.isVisible(), true, "Escape closes the list alone");
  assert.equal(await tab.focused(), "input");

  await (await item(tab, "Your conversations")).click();
  await list.getByRole("button", { name: ANSWER }).click();
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  await shows(other, [`sent: ${QUESTION}`, ANSWER]);
  assert.equal(await list.isVisible(), false);
  await tab.write("And the second one?");
  await eventually(async () => assert.ok((await other.bubbles()).includes("sent: And the second one?")));
  // What stood in the other conversation already is no news.
  assert.deepEqual(await other.page.evaluate(() => window.heard.slice(0, 2)), ["hello", "Hello! What can I do for you?"]);
  assert.equal((await other.page.evaluate(() => window.heard)).filter((said) => said === ANSWER).length, 0);

  // A new page of the visit is in the same conversation.
  await tab.page.reload();
  await eventually(async () => assert.ok((await tab.bubbles()).includes("sent: And the second one?")));
});

stage.test("what was written where another tab had turned already is said in the conversation it was written in", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const [tab, other] = await twoTabs(visitor, tenant);
  const network = await visitor.context.newCDPSession(tab.page);
  const cut = (offline) => network.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await network.send("Network.enable");
  await cut(true);
  await (await item(other, "New conversation")).click();
  await shows(other, [GREETING]);
  await tab.write("And the other parcel?");
  await shows(tab, ["sending: And the other parcel?"]);
  await cut(false);
  // The tab follows; what was written stays behind.
  await shows(tab, [GREETING]);
  const [newest, oldest] = await tenant.conversations();
  await eventually(async () => assert.ok((await tenant.messages(oldest)).some(({ content }) => content === "And the other parcel?")));
  assert.deepEqual(await tenant.messages(newest), []);
  assert.deepEqual(await tab.bubbles(), [GREETING]);
  assert.deepEqual(await other.bubbles(), [GREETING]);
});

stage.test("a visitor who signed in begins another conversation after the first message, and finds both on another device", async (come) => {
  const tenant = await stage.tenant();
  const { token } = await tenant.signed("POST", "mint/visitor-token", { visitor_user_id: "ada-7" });
  const url = stage.put(await tenant.embedCode());
  const tab = await (await come()).visit(url);
  await tab.page.evaluate((token) => window.ChatRelay.identify({ token, name: "Ada" }), token);
  await answers(tab);
  await (await item(tab, "New conversation")).click();
  await shows(tab, [GREETING]);
  assert.equal((await tab.bubbles()).length, 1);
  await tab.write("hello");
  await shows(tab, ["sent: hello", "Hello! What can I do for you?"]);

  const device = await (await come()).visit(url);
  await device.page.evaluate((token) => window.ChatRelay.identify({ token }), token);
  await device.open();
  await shows(device, ["sent: hello", "Hello! What can I do for you?"]);
  await (await item(device, "Your conversations")).click();
  await device.widget.locator(".past").getByRole("button", { name: ANSWER }).click();
  await shows(device, [`sent: ${QUESTION}`, ANSWER]);
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
});

stage.test("without a WebSocket, conversations are begun, listed and opened by calls", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.addInitScript(() => {
    window.WebSocket = class {
      constructor() {
        throw new Error("no WebSockets here");
      }
    };
  });
  const [tab, other] = await twoTabs(visitor, tenant);
  await (await item(tab, "New conversation")).click();
  await shows(tab, [GREETING]);
  await tab.write("hello");
  await shows(tab, ["sent: hello", "Hello! What can I do for you?"]);
  await shows(other, ["sent: hello", "Hello! What can I do for you?"]);
  await (await item(tab, "Your conversations")).click();
  await tab.widget.locator(".past").getByRole("button", { name: ANSWER }).click();
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  await tab.widget.getByRole("button", { name: "Yes", exact: true }).click();
  await shows(other, [`sent: ${QUESTION}`, ANSWER]);
  await other.widget.getByText("Thank you for telling us.").waitFor();
});
