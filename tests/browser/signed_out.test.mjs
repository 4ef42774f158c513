// The next person at the same browser finds nothing of the conversation, once the page has said that the visitor signed out.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";
import { ANSWER, GREETING, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene({ withLink: true });

const stored = (tab) => tab.page.evaluate(() => [...Object.entries(localStorage), ...Object.entries(sessionStorage)]);
const token = async (tab) => JSON.parse((await stored(tab)).find(([key]) => key.endsWith(":session"))[1]).visitor_token;

/** Nothing of the visitor before is shown, in the field or kept. */
async function isFresh(tab) {
  // Where nobody has chatted, a page holds no chat before the first click.
  const isLoaded = (await tab.panel.count()) > 0;
  await eventually(async () => assert.deepEqual(await tab.bubbles(), isLoaded ? [GREETING] : []));
  if (isLoaded) assert.equal(await tab.input.inputValue(), "");
  const left = (await stored(tab)).filter(([key]) => /:(session|out:.*|draft|read|sound|rung|previewed)$/.test(key));
  assert.deepEqual(left, []);
}

stage.test("reset ends the session at the relay, here and in other tabs, and the next person begins anew", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const tabs = [await visitor.visit(url), await visitor.visit(url)];
  await answers(tabs[0]);
  await tabs[1].open();
  await eventually(async () => assert.equal((await tabs[1].bubbles()).at(-1), ANSWER));
  for (const tab of tabs) await tab.input.fill("a secret draft");
  const old = await token(tabs[0]);

  await tabs[0].page.evaluate(() => window.ChatRelay.reset());
  // The other tab hears of it from the browser, a moment later.
  for (const tab of tabs) {
    await isFresh(tab);
    assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false");
  }
  await eventually(async () => {
    const answer = await fetch(`${stage.relay.url}/api/v1/refresh/visitor-token`, {
      method: "POST",
      headers: { Authorization: `Bearer ${old}`, Origin: stage.pages.origin() },
    });
    assert.equal(answer.status, 401, "the session is over at the relay too");
  });

  await answers(tabs[1]);
  await tabs[0].open();
  for (const tab of tabs) {
    await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
  }
  assert.equal((await tenant.conversations()).length, 2, "each has a conversation of their own");
  assert.deepEqual(visitor.advice, []);
});

stage.test("reset without a network leaves nothing behind, and what was not sent is sent by nobody", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  stage.link.cut();
  await tab.write("for nobody else's eyes");
  await tab.input.fill("nor this");
  await tab.page.evaluate(() => window.ChatRelay.reset());
  await isFresh(tab);
  stage.link.mend();
  await tab.page.reload();
  await isFresh(tab);
  await answers(tab);
  assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]);
  const kept = await Promise.all((await tenant.conversations()).map((conversation) => tenant.messages(conversation)));
  assert.deepEqual(kept.map((messages) => messages.map(({ content }) => content)), [[QUESTION, ANSWER], [QUESTION, ANSWER]]);
});

stage.test("a session that comes while the visitor signs out is not the next person's", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  let release;
  const held = new Promise((resolve) => (release = resolve));
  await visitor.context.route(/create\/visitor-session/, async (route) => {
    const response = await route.fetch();
    await held;
    await route.fulfill({ response });
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  const asked = tab.page.waitForRequest(/create\/visitor-session/);
  await tab.open();
  await asked;
  const answered = tab.page.waitForResponse(/create\/visitor-session/);
  await tab.page.evaluate(() => window.ChatRelay.reset());
  release();
  const { session_id } = (await (await answered).json()).data;
  await isFresh(tab);
  await answers(tab);
  const now = JSON.parse((await stored(tab)).find(([key]) => key.endsWith(":session"))[1]);
  assert.notEqual(now.session_id, session_id, "the next person has a session of their own");
});

stage.test("a page that signs out by clearing the storage gives the next person a conversation of their own", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  await tab.page.evaluate(() => {
    localStorage.clear();
    sessionStorage.clear();
  });
  await tab.write("I am somebody else");
  await eventually(async () => assert.equal((await tab.bubbles())[1], "sent: I am somebody else"));
  assert.ok(!(await tab.bubbles()).includes(ANSWER), "the first one's conversation is not shown");
  const conversations = await tenant.conversations();
  assert.equal(conversations.length, 2);
});

stage.test("a page that clears the storage closes the chat of the visitor before in its other tabs", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const tabs = [await visitor.visit(url), await visitor.visit(url)];
  for (const tab of tabs) await tab.open();
  await answers(tabs[0]);
  await tabs[1].page.evaluate(() => localStorage.clear());
  await isFresh(tabs[0]);
  assert.equal(await tabs[0].launcher.getAttribute("aria-expanded"), "false");
});

stage.test("a page that is still dialling for a visitor who signs out shows and sends nothing in their name", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const tab = await visitor.visit(url);
  await answers(tab);
  let comes;
  const held = new Promise((resolve) => (comes = resolve));
  let dials = 0;
  await tab.page.routeWebSocket(/\/ws\/widget/, async (socket) => {
    dials += 1;
    if (dials === 1) await held;
    socket.connectToServer();
  });
  await tab.page.reload();
  await eventually(() => assert.equal(dials, 1));
  const other = await visitor.visit(stage.put("<p>Signed out</p>"));
  await other.page.evaluate(() => localStorage.clear());
  await eventually(async () => assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false"));
  comes();
  await tab.open();
  await tab.write("the next visitor");
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, "sent: the next visitor"]));
  await eventually(async () => {
    const kept = await Promise.all((await tenant.conversations()).map((conversation) => tenant.messages(conversation)));
    assert.deepEqual(kept.map((messages) => messages[0].content).sort(), [QUESTION, "the next visitor"].sort());
  });
});

stage.test("two tabs that open the chat in one moment, and name the visitor differently, keep it open", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  let begin;
  const held = new Promise((resolve) => (begin = resolve));
  await visitor.context.route(/create\/visitor-session/, async (route) => {
    await held;
    await route.continue();
  });
  const [tab, other] = [await visitor.visit(url), await visitor.visit(url)];
  await tab.open();
  await other.page.evaluate(() => {
    const key = Object.keys(localStorage).find((name) => name.endsWith(":visitor"));
    localStorage.setItem(key, JSON.stringify("the name that the other tab gave"));
  });
  await other.open();
  begin();
  for (const each of [tab, other]) {
    assert.equal(await each.launcher.getAttribute("aria-expanded"), "true");
    await answers(each);
  }
});

stage.test("a sign-out page that resets the widget as it starts leaves nothing, and makes nothing new", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(code));
  await answers(tab);
  const made = [];
  tab.page.on("request", (request) => request.url().includes("create/visitor-session") && made.push(request.url()));
  await tab.page.goto(stage.put(`<script>window.ChatRelay = { q: [["reset"]] };</script>${code}`));
  await tab.launcher.waitFor();
  await isFresh(tab);
  assert.deepEqual(made, []);
  assert.equal((await tenant.conversations()).length, 1);
});

stage.test("a draft in a tab that shows no chat while the visitor signs out is not the next person's", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const away = await visitor.visit(url);
  await away.open();
  await away.input.fill("a secret draft");
  await away.page.goto(stage.put("a page without a chat"));
  const tab = await visitor.visit(url);
  await answers(tab);
  await tab.page.evaluate(() => window.ChatRelay.reset());
  await away.page.goto(url);
  await away.launcher.waitFor();
  assert.equal(await away.launcher.getAttribute("aria-expanded"), "false");
  await isFresh(away);
});

stage.test("what was never sent goes to nobody once the page has cleared the storage", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.approach();
  stage.link.cut();
  await tab.open();
  await tab.write("for nobody else's eyes");
  // The page looks at the storage when it comes into sight, when it connects, and when somebody writes: here, at once.
  await tab.page.evaluate(() => {
    localStorage.clear();
    document.dispatchEvent(new Event("visibilitychange"));
  });
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false");
  stage.link.mend();
  await answers(tab);
  assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]);
  assert.equal((await tenant.messages())[0].content, QUESTION);
});

stage.test("storage cleared before the reset: the session is ended all the same", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  const ended = tab.page.waitForResponse((response) => response.url().includes("end/visitor-session") && response.request().method() === "POST");
  await tab.page.evaluate(() => {
    localStorage.clear();
    window.ChatRelay.reset();
  });
  assert.equal((await ended).status(), 200);
});

stage.test("reset may stand before start", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(code));
  await answers(tab);
  const [, src] = /src="([^"]+)"/.exec(code);
  const [, publicKey] = /data-public-key="([^"]+)"/.exec(code);
  const calls = JSON.stringify([["reset"], ["start", { tenantId: tenant.id, publicKey }]]);
  await tab.page.goto(stage.put(`<script>window.ChatRelay = { q: ${calls} };</script><script src="${src}" async></script>`));
  await tab.launcher.waitFor();
  await isFresh(tab);
});
