// What browsers do differently, tried in Firefox too: focus and dialogs, scrolling, routers, sockets and policies, files, languages.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { eventually } from "./browser.mjs";
import { FirefoxTab, launchFirefox } from "./firefox.mjs";
import { MODAL, PNG, bootstrap } from "./fixtures.mjs";
import { ANSWER, GREETING, QUESTION, scene } from "./scene.mjs";

const stage = scene();
let firefox;
let folder;

before(async () => {
  firefox = await launchFirefox();
  folder = mkdtempSync(join(tmpdir(), "chat-relay-"));
});

after(async () => {
  await firefox?.close();
  if (folder) rmSync(folder, { recursive: true });
});

/** A test with a visitor of its own: no storage is shared with another's. */
function firefoxTest(name, act) {
  test(`Firefox: ${name}`, async () => {
    const tenant = await stage.tenant();
    const context = await firefox.createBrowserContext();
    try {
      await act({ tenant, code: await tenant.embedCode(), visit: (url) => FirefoxTab.visit(context, url) });
    } finally {
      await context.close();
    }
  });
}

firefoxTest("a conversation, its marks, and the next page of the visit", async ({ tenant, code, visit }) => {
  const listening = `<script>
    window.heard = [];
    for (const name of ["keydown", "click", "input"])
      for (const phase of [true, false]) document.addEventListener(name, () => window.heard.push(name), phase);
  </script>`;
  const tab = await visit(stage.put(listening + code));
  await tab.open();
  await tab.write(QUESTION);
  await tab.shows([GREETING, QUESTION, ANSWER]);
  assert.deepEqual(await tab.page.evaluate(() => window.heard), [], "the page hears nothing of what happens in the chat");
  await tenant.say("agent", "**Now** see [the depot](https://depot.example/7)");
  await eventually(async () => assert.deepEqual(await tab.all(".bubble strong, .bubble a", (node) => node.textContent), ["Now", "the depot"]));
  const input = await tab.part(".composer textarea");
  await input.click();
  await tab.page.keyboard.type("and when");
  await tab.page.reload();
  await tab.shows([QUESTION, ANSWER, "Now see the depot"]);
  await tab.part(".panel[data-open=true]");
  assert.deepEqual(await tab.all(".composer textarea", (node) => node.value), ["and when"]);
  await tab.page.evaluate(() => window.ChatRelay.reset());
  await tab.open();
  await tab.shows([GREETING]);
});

firefoxTest("a Bootstrap modal is open, and what is typed is the chat's", async ({ code, visit }) => {
  const tab = await visit(stage.put(code + bootstrap(stage.pages) + MODAL));
  await eventually(async () => assert.equal(await tab.page.evaluate(() => document.activeElement.id), "field"));
  await tab.open();
  await tab.write(QUESTION);
  await tab.shows([QUESTION, ANSWER]);
  assert.deepEqual(await tab.page.evaluate(() => [document.getElementById("field").value, window.isClosed]), ["", undefined]);
});

firefoxTest("who scrolls up is not stopped, and reads the whole conversation", async ({ tenant, code, visit }) => {
  const tab = await visit(stage.put(code));
  await tab.open();
  await tab.write(QUESTION);
  await tab.shows([ANSWER]);
  for (let number = 1; number <= 70; number += 1) await tenant.say("agent", `Step ${number}`);
  await tab.page.reload();
  await tab.shows(["Step 70"]);
  const scroller = await tab.part(".scroller");
  await scroller.focus();
  await Promise.all([tab.page.keyboard.press("Home"), ...[1, 2, 3, 4].map((number) => tenant.say("agent", `Meanwhile ${number}`))]);
  await eventually(async () => {
    assert.equal((await tab.bubbles()).length, 77);
    await tab.page.keyboard.press("Home");
    assert.equal(await scroller.evaluate((node) => node.scrollTop), 0);
  });
  await tab.part(".pill");
});

firefoxTest("Turbo takes the visitor from page to page with one widget", async ({ code, visit }) => {
  const head = `<script src="${stage.pages.library("@hotwired/turbo/dist/turbo.es2017-umd.js")}"></script>`;
  const urls = [0, 1, 2].map((number) => stage.put(`<p id="page">${number}</p>${code}`, { head }));
  const tab = await visit(urls[0]);
  await tab.open();
  await tab.write(QUESTION);
  await tab.shows([QUESTION, ANSWER]);
  for (const number of [1, 2]) {
    await tab.page.evaluate((url) => window.Turbo.visit(url), urls[number]);
    await eventually(async () => assert.equal(await tab.page.$eval("#page", (node) => node.textContent), String(number)));
    await tab.shows([QUESTION, ANSWER]);
    assert.equal((await tab.page.$$("chat-relay-widget")).length, 1);
  }
});

firefoxTest("a policy without the relay's wss: address: the chat goes on by calls", async ({ tenant, code, visit }) => {
  const policy = `connect-src ${stage.relay.url}`;
  const tab = await visit(stage.put(code, { headers: { "Content-Security-Policy": policy } }));
  await tab.open();
  await tab.write(QUESTION);
  await tab.shows([QUESTION, ANSWER]);
  await tenant.say("agent", "It comes by calls.");
  await tab.shows(["It comes by calls."]);
});

firefoxTest("a picture is sent and shown", async ({ tenant, code, visit }) => {
  const tab = await visit(stage.put(code));
  await tab.open();
  const path = join(folder, "a cat.png");
  writeFileSync(path, PNG);
  const chooser = await tab.page.$("chat-relay-widget >>> input[type=file]");
  await chooser.uploadFile(path);
  await eventually(async () => assert.deepEqual(await tab.all(".in-hand .file-state", (node) => node.textContent), ["Ready"]));
  await tab.write("Here she is");
  await eventually(async () => assert.deepEqual(await tab.all(".attached img", (node) => node.complete && node.naturalWidth), [1]));
  await eventually(async () => {
    const sent = (await tenant.messages()).find(({ content }) => content === "Here she is");
    assert.deepEqual(sent?.attachments.map(({ name }) => name), ["a cat.png"]);
  });
});

firefoxTest("a German page has a German chat, in its container", async ({ code, visit }) => {
  const html = `<div id="chat" style="height: 500px"></div>${code.replace("<script ", '<script data-container="#chat" ')}`;
  const tab = await visit(stage.put(html, { lang: "de" }));
  await tab.shows(["Hallo! Wie können wir helfen?"]);
  const sizes = await tab.page.evaluate(() =>
    [document.querySelector("#chat"), document.querySelector("chat-relay-widget").shadowRoot.querySelector(".panel")].map((node) => {
      const { x, y, width, height } = node.getBoundingClientRect();
      return [x, y, width, height].map(Math.round);
    }),
  );
  assert.deepEqual(sizes[0], sizes[1]);
  await tab.write(QUESTION);
  await tab.shows([QUESTION, ANSWER]);
});
