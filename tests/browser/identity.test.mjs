// A visitor signs in on the page: the conversation goes on, on every device, and nobody else finds it.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";
import { PNG } from "./fixtures.mjs";
import { ANSWER, GREETING, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

const mint = async (tenant, visitor) => (await tenant.signed("POST", "mint/visitor-token", { visitor_user_id: visitor })).token;

const identify = (tab, identity) => tab.page.evaluate((identity) => window.ChatRelay.identify(identity), identity);

/** What the browser keeps under a name, for the site or for the tab. */
const kept = (tab, name) =>
  tab.page.evaluate((name) => {
    const all = [...Object.entries(localStorage), ...Object.entries(sessionStorage)];
    return all.find(([key]) => key.endsWith(`:${name}`))?.[1] ?? "";
  }, name);

const session = async (tab) => JSON.parse((await kept(tab, "session")) || "null");

const TALK = [GREETING, `sent: ${QUESTION}`, ANSWER];

const shows = (tab, bubbles) => eventually(async () => assert.deepEqual(await tab.bubbles(), bubbles));

/** A visitor who talks, with the conversation open in two tabs. */
const talksInTwoTabs = async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const laptop = await come();
  const tabs = [await laptop.visit(url), await laptop.visit(url)];
  await answers(tabs[0]);
  await tabs[1].open();
  await shows(tabs[1], TALK);
  return { tenant, url, laptop, tabs };
};

stage.test("who signs in keeps the conversation, in every tab, and finds it on another device", async (come) => {
  const { tenant, url, laptop, tabs } = await talksInTwoTabs(come);
  const before = await session(tabs[0]);
  await tabs[0].input.fill("a draft");

  await identify(tabs[0], { token: await mint(tenant, "ada"), name: "Ada", email: "ada@example.com" });
  await eventually(async () => assert.ok(![undefined, before.session_id].includes((await session(tabs[0]))?.session_id)));
  for (const tab of tabs) {
    await tab.write("It is the blue one.");
    await eventually(async () => assert.ok((await tab.bubbles()).includes("sent: It is the blue one.")));
  }
  const conversation = await tenant.conversation();
  assert.equal(conversation.visitor_user_id, "ada");
  assert.equal(conversation.visitor_display_name, "Ada");
  // The second tab shows the first one's message already, so its own may still be on its way.
  await eventually(async () => {
    const own = (await tenant.messages(conversation)).filter(({ role }) => role === "visitor").map(({ content }) => content);
    assert.deepEqual(own, [QUESTION, "It is the blue one.", "It is the blue one."], "each once");
  });

  // The page says so on every page view: nothing more happens.
  const { session_id } = await session(tabs[0]);
  await tabs[0].page.reload();
  await identify(tabs[0], { token: await mint(tenant, "ada"), name: "Ada", email: "ada@example.com" });
  await tabs[0].open();
  await eventually(async () => assert.ok((await tabs[0].bubbles()).includes("sent: It is the blue one.")));
  assert.equal((await session(tabs[0])).session_id, session_id);

  // On the phone the page says so before the visitor opens the chat: no session begins for that alone.
  const phone = await (await come()).visit(url);
  await identify(phone, { token: await mint(tenant, "ada") });
  await phone.launcher.waitFor();
  assert.equal(await session(phone), null);
  await phone.open();
  await eventually(async () => assert.ok((await phone.bubbles()).includes(ANSWER)));
  await tenant.say("agent", "It left this morning.");
  for (const tab of [...tabs, phone]) {
    await eventually(async () => assert.ok((await tab.bubbles()).includes("It left this morning.")));
  }
  assert.equal((await tenant.conversations()).filter(({ visitor_user_id }) => visitor_user_id === "ada").length, 1);
  assert.deepEqual(laptop.advice, []);
});

/** The tab hears of another tab's change of the session 300 ms late, as where the two are in different processes of a busy browser. */
const hearsLate = (tab) =>
  tab.page.evaluate(() => {
    const get = Storage.prototype.getItem;
    const set = Storage.prototype.setItem;
    const known = new Map();
    Storage.prototype.setItem = function (key, value) {
      set.call(this, key, value);
      known.delete(key);
    };
    Storage.prototype.getItem = function (key) {
      const now = get.call(this, key);
      const late = known.get(key);
      if (!key.endsWith(":session")) return now;
      if (late === undefined) known.set(key, { value: now, changedAt: null });
      else if (late.value !== now) {
        late.changedAt ??= Date.now();
        if (Date.now() - late.changedAt < 300) return late.value;
        known.set(key, { value: now, changedAt: null });
      }
      return now;
    };
    // What the tab knows of the session from now on.
    for (const key of Object.keys(localStorage)) localStorage.getItem(key);
  });

stage.test("a tab that hears late of what another one has kept goes on with it, and begins no session of its own", async (come) => {
  const { tenant, tabs } = await talksInTwoTabs(come);
  await hearsLate(tabs[1]);

  await identify(tabs[0], { token: await mint(tenant, "ada") });
  await eventually(async () => assert.equal((await session(tabs[0]))?.identity?.visitor, "ada"));
  await tabs[1].write("From the other tab.");
  for (const tab of tabs) await eventually(async () => assert.ok((await tab.bubbles()).includes("sent: From the other tab.")));
  assert.equal((await tenant.conversation()).visitor_user_id, "ada");
  assert.equal((await session(tabs[0])).identity?.visitor, "ada");
});

stage.test("somebody else who signs in at the same browser finds nothing, and the first finds all of it again", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const tabs = [await visitor.visit(url), await visitor.visit(url)];
  await identify(tabs[0], { token: await mint(tenant, "ada") });
  await answers(tabs[0]);
  await tabs[1].open();
  await shows(tabs[1], TALK);
  await tabs[1].input.fill("a secret draft");

  await identify(tabs[0], { token: await mint(tenant, "ben") });
  for (const tab of tabs) {
    await shows(tab, [GREETING]);
    assert.equal(await tab.input.inputValue(), "");
  }
  await tabs[0].open();
  await tabs[0].write("I am Ben.");
  await eventually(async () => assert.ok((await tabs[0].bubbles()).includes("sent: I am Ben.")));
  const bens = (await tenant.conversations()).find(({ visitor_user_id }) => visitor_user_id === "ben");
  assert.equal((await tenant.messages(bens))[0].content, "I am Ben.");

  // A tab in which Ada was named before does not name Ben so.
  await identify(tabs[1], { token: await mint(tenant, "ada") });
  await tabs[1].page.evaluate(() => window.ChatRelay.reset());
  await tabs[1].open();
  await eventually(async () => assert.notEqual(await session(tabs[1]), null));
  assert.equal((await session(tabs[1])).identity, null);
  await tabs[1].write("Nobody knows me.");
  await eventually(async () => assert.ok((await tabs[1].bubbles()).includes("sent: Nobody knows me.")));

  await identify(tabs[1], { token: await mint(tenant, "ada") });
  await eventually(async () => assert.equal((await session(tabs[1]))?.identity?.visitor, "ada"));
  // What was said by nobody in particular is Ada's now, and is what she talks of last.
  await eventually(async () => assert.equal((await tenant.conversations()).filter((each) => each.visitor_user_id === "ada").length, 2));
  assert.deepEqual(visitor.advice, []);
});

stage.test("a page in another tab that knew the visitor before names nobody who has come since", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const [idle, active] = [await visitor.visit(url), await visitor.visit(url)];
  for (const tab of [idle, active]) await identify(tab, { token: await mint(tenant, "ada") });
  await active.page.evaluate(() => window.ChatRelay.reset());
  // Ada has signed out elsewhere. This page was told of her, and nobody has chatted in it.
  await idle.open();
  await idle.write("Who am I?");
  await eventually(async () => assert.ok((await idle.bubbles()).includes("sent: Who am I?")));
  assert.match((await tenant.conversation()).visitor_user_id, /^vs_/);
});

stage.test("the newest name counts where the page says several before the chat has come", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(code));
  await identify(tab, { token: await mint(tenant, "ada") });
  await answers(tab);
  const [ben, ada] = [await mint(tenant, "ben"), await mint(tenant, "ada")];
  const calls = JSON.stringify([["identify", { token: ben }], ["identify", { token: ada, name: "Ada" }]]);
  await tab.page.goto(stage.put(`<script>window.ChatRelay = { q: ${calls} };</script>${code}`));
  await shows(tab, TALK);
  await eventually(async () => assert.equal((await session(tab))?.identity?.name, "Ada"));
  assert.equal((await session(tab)).identity.visitor, "ada");
  assert.equal((await tenant.conversation()).visitor_display_name, "Ada");
});

stage.test("a page that named somebody before another one came names the other one so no more", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const [old, fresh] = [await visitor.visit(url), await visitor.visit(url)];
  await identify(old, { token: await mint(tenant, "ada") });
  await identify(fresh, { token: await mint(tenant, "ben") });
  await answers(fresh);
  const { session_id } = await session(fresh);
  await old.open();
  await shows(old, TALK);
  assert.equal((await session(old)).session_id, session_id);
  await old.write("Still Ben.");
  await eventually(async () => assert.ok((await old.bubbles()).includes("sent: Still Ben.")));
  assert.equal((await tenant.conversation()).visitor_user_id, "ben");
});

stage.test("a token that names nobody is told to the page's developer, and the chat goes on", async (come) => {
  const tenant = await stage.tenant();
  const other = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.page.evaluate(() => {
    window.errors = [];
    window.ChatRelay.on("error", ({ error_code }) => window.errors.push(error_code));
  });
  await identify(tab, { token: await mint(other, "ada") });
  await answers(tab);
  await shows(tab, TALK);
  assert.match((await tenant.conversation()).visitor_user_id, /^vs_/);
  assert.deepEqual(await tab.page.evaluate(() => window.errors), ["invalid_identity_token"]);
  assert.equal(visitor.advice.length, 1);
  assert.match(visitor.advice[0], /invalid_identity_token: .*mint\/visitor-token/);
  for (const given of [{ token: "nonsense" }, undefined, "ada"]) await identify(tab, given);
  assert.equal(visitor.advice.length, 2);
  assert.match(visitor.advice[1], /ChatRelay\.identify needs \{ token \}/);
  // With a good one, it is Ada's.
  await identify(tab, { token: await mint(tenant, "ada") });
  await eventually(async () => assert.equal((await tenant.conversation()).visitor_user_id, "ada"));
  await shows(tab, TALK);
});

stage.test("a file in hand is sent anew in the visitor's own session", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  await tab.widget.locator(".composer input[type=file]").setInputFiles({ name: "plan.png", mimeType: "image/png", buffer: PNG });
  const keeps = (name) => eventually(async () => assert.ok((await kept(tab, "files")).includes(name)));
  await keeps("plan.png");
  await identify(tab, { token: await mint(tenant, "ada") });
  await eventually(async () => assert.equal((await tenant.conversation()).visitor_user_id, "ada"));
  await keeps("plan.png");
  await tab.write("Here it is.");
  await eventually(async () => {
    const sent = (await tenant.messages()).find(({ content }) => content === "Here it is.");
    assert.deepEqual(sent?.attachments.map(({ name }) => name), ["plan.png"]);
  });
});
