// The chat as a part of the page, in a container of the page's.
import assert from "node:assert/strict";
import { findsNothing } from "./axe.mjs";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, GREETING, QUESTION, scene } from "./scene.mjs";

const stage = scene();

const CONTAINER = '<div id="chat" style="height: 520px"></div>';

async function inline(tenant, selector = "#chat") {
  return (await tenant.embedCode()).replace("<script ", `<script data-container="${selector}" `);
}

/** The calls that the pages of a visitor send to the relay, but for the script and the configuration. */
function calls(visitor) {
  const seen = [];
  visitor.context.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/api/v1/") && !pathname.endsWith("/fetch/widget-config")) seen.push(pathname);
  });
  visitor.context.on("page", (page) => page.on("websocket", () => seen.push("socket")));
  return seen;
}

const shows = (tab, said) => eventually(async () => assert.deepEqual((await tab.bubbles()).slice(-said.length), said));

stage.test("it fills its container, and the relay hears of no visitor who does not write", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const heard = calls(visitor);
  const tab = await visitor.visit(stage.put(`${CONTAINER}<p>Below</p>${await inline(tenant)}`));
  await tab.panel.waitFor();
  await shows(tab, [GREETING]);
  const [around, panel] = [await tab.page.locator("#chat").boundingBox(), await tab.panel.boundingBox()];
  assert.deepEqual(panel, around);
  assert.equal(await tab.launcher.isVisible(), false);
  assert.equal(await tab.widget.locator(".close").isVisible(), false);
  assert.equal(await tab.panel.getAttribute("role"), "region");
  assert.notEqual(await tab.focused(), "input", "the page keeps its focus");
  await tab.page.evaluate(() => window.ChatRelay.close());
  await tab.input.focus();
  await tab.page.keyboard.press("Escape");
  assert.equal(await tab.panel.isVisible(), true, "it is always open");
  assert.deepEqual(heard.filter((path) => !path.includes("/widget/")), []);
  await picture(tab.page, "inline-1440");
  await findsNothing(tab.page);

  await tab.write(QUESTION);
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  await tab.page.reload();
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  await tab.page.evaluate(() => window.ChatRelay.reset());
  await shows(tab, [GREETING]);
  assert.equal(await tab.panel.isVisible(), true);
  await tab.write("the next visitor");
  await eventually(async () => assert.equal((await tenant.conversations()).length, 2));
});

stage.test("on a phone it is no sheet, and where its container has no height it has its own", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const tab = await visitor.visit(stage.put(`<div id="chat"></div><p id="below">Below</p>${await inline(tenant)}`));
  await tab.panel.waitFor();
  const { x, width, height } = await tab.panel.boundingBox();
  assert.ok(width < 360 && x > 0, "it keeps to its container");
  assert.ok(height > 420 && height < 600, `${height} px`);
  await tab.write(QUESTION);
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  for (let number = 0; number < 12; number += 1) await tenant.say("agent", `Step ${number}`);
  await shows(tab, ["Step 11"]);
  assert.equal(Math.round((await tab.panel.boundingBox()).height), Math.round(height), "a conversation scrolls, and moves nothing of the page");
  assert.equal(await tab.panel.getAttribute("aria-modal"), null);
  await picture(tab.page, "inline-360");
  await findsNothing(tab.page);
  await tab.input.focus();
  const shown = await tab.page.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(shown, 360);
});

stage.test("what comes while it is scrolled out of sight is unread", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(`${CONTAINER}<div style="height: 3000px"></div>${await inline(tenant)}`));
  await tab.page.evaluate(() => {
    window.unread = 0;
    window.ChatRelay.on("unread", ({ count }) => (window.unread = count));
  });
  const unread = (count) => eventually(async () => assert.equal(await tab.page.evaluate(() => window.unread), count));
  await tab.write(QUESTION);
  await shows(tab, [ANSWER]);
  await unread(0);
  await tab.page.evaluate(() => scrollTo(0, 2000));
  await eventually(async () => assert.ok((await tab.panel.boundingBox()).y < -1000));
  await tenant.say("agent", "Are you there?");
  await unread(1);
  await tab.page.evaluate(() => window.ChatRelay.open());
  await unread(0);
  assert.equal(await tab.focused(), "input", "open() brings it into sight, to write");
});

stage.test("what comes in the very moment in which it is scrolled out of sight is unread until it is back", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  // The page scrolls as the message comes: the browser draws no frame in between.
  await visitor.context.addInitScript(() => {
    window.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => data.includes("Are you there?") && scrollTo(0, 2000));
      }
    };
  });
  const tab = await visitor.visit(stage.put(`${CONTAINER}<div style="height: 3000px"></div>${await inline(tenant)}`));
  await tab.write(QUESTION);
  await shows(tab, [ANSWER]);
  await tab.page.evaluate(() => {
    window.told = [];
    window.ChatRelay.on("unread", ({ count }) => window.told.push(count));
  });
  await tenant.say("agent", "Are you there?");
  await eventually(async () => assert.deepEqual(await tab.page.evaluate(() => window.told), [1]));
  await tab.page.evaluate(() => scrollTo(0, 0));
  await eventually(async () => assert.deepEqual(await tab.page.evaluate(() => window.told), [1, 0]));
});

stage.test("a container that comes late, goes, and comes back has the same chat in it", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await inline(tenant)));
  await tab.widget.waitFor({ state: "attached" });
  assert.equal(await tab.panel.isVisible(), false);
  await eventually(() => assert.ok(visitor.said.some(({ type, text }) => type === "info" && text.includes('No element matches data-container="#chat" yet'))));
  const put = () =>
    tab.page.evaluate(() => {
      document.querySelector("#chat")?.remove();
      document.body.insertAdjacentHTML("beforeend", '<section><div id="chat" style="height: 500px"></div></section>');
    });
  await put();
  await tab.panel.waitFor();
  await tab.write(QUESTION);
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  for (let number = 0; number < 12; number += 1) await tenant.say("agent", `Step ${number}`);
  await shows(tab, ["Step 11"]);
  const left = () => tab.widget.locator(".scroller").evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop);
  await tab.input.fill("and when");
  await tab.widget.evaluate((element) => (window.widgetBefore = element));
  await put();
  await eventually(async () => assert.ok((await left()) < 1, "the newest message is in sight"));
  await tab.page.evaluate(() => (document.querySelector("section:last-of-type").innerHTML += "<p>drawn anew</p>"));
  await tab.page.evaluate(() => document.querySelector("section:last-of-type").remove());
  await tab.panel.waitFor({ state: "hidden" });
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
  await put();
  await tab.panel.waitFor();
  assert.equal(await tab.widget.evaluate((element) => element === window.widgetBefore && element.parentNode.id), "chat");
  assert.equal(await tab.input.inputValue(), "and when");
  await shows(tab, ["Step 11"]);
  assert.deepEqual(visitor.advice, []);
});

stage.test("what is no selector is told, and what the page hides is unread", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(`${CONTAINER}${await inline(tenant, "#:r1:")}`));
  await eventually(() => assert.match(visitor.advice[0] ?? "", /data-container="#:r1:" is no selector/));
  await tab.page.evaluate(() => (document.querySelector("script[data-public-key]").dataset.container = "#chat"));
  await tab.panel.waitFor();
  await tab.write(QUESTION);
  await shows(tab, [ANSWER]);
  await tab.page.evaluate(() => {
    window.unread = 0;
    window.ChatRelay.on("unread", ({ count }) => (window.unread = count));
    document.querySelector("#chat").style.visibility = "hidden";
  });
  await tab.panel.waitFor({ state: "hidden" });
  await tenant.say("agent", "Are you there?");
  await eventually(async () => assert.equal(await tab.page.evaluate(() => window.unread), 1));
});

stage.test("with a router it stands in the page that has the container, and floats in the others", async (come) => {
  const tenant = await stage.tenant();
  const head = `<script src="${stage.pages.library("@hotwired/turbo/dist/turbo.es2017-umd.js")}"></script>`;
  const [support, shop] = [stage.put("", { head }), stage.put("", { head })];
  const path = (url) => new URL(url).pathname;
  stage.pages.put(path(support), `<a id="next" href="${shop}">Shop</a>${CONTAINER}${await inline(tenant)}`, { head });
  stage.pages.put(path(shop), `<a id="next" href="${support}">Support</a>${await tenant.embedCode()}`, { head });
  const tab = await (await come()).visit(support);
  await tab.write(QUESTION);
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  await tab.page.locator("#next").click();
  await tab.launcher.waitFor();
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false", "the visitor has not opened it over the shop");
  assert.notEqual(await tab.focused(), "launcher", "the page keeps its focus");
  await tab.open();
  await shows(tab, [`sent: ${QUESTION}`, ANSWER]);
  await tab.page.locator("#next").click();
  await eventually(async () => assert.equal(await tab.launcher.isVisible(), false));
  // The router shows a copy from its cache first, and then the page.
  await eventually(async () => assert.deepEqual(await tab.panel.boundingBox(), await tab.page.locator("#chat").boundingBox()));
  await tab.page.locator("#next").click();
  await tab.launcher.waitFor();
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true", "here it was left open");
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
});

stage.test("a page that names or drops the container before the configuration has come", async (come) => {
  const tenant = await stage.tenant();
  for (const isInline of [true, false]) {
    const visitor = await come();
    let comes;
    const held = new Promise((resolve) => (comes = resolve));
    await visitor.context.route(/fetch\/widget-config/, async (route) => {
      await held;
      await route.continue();
    });
    const heard = calls(visitor);
    const tab = await visitor.visit(stage.put(CONTAINER + (isInline ? await tenant.embedCode() : await inline(tenant))));
    await tab.widget.waitFor({ state: "attached" });
    await tab.page.evaluate((isInline) => {
      const { dataset } = document.querySelector("script[data-public-key]");
      if (isInline) dataset.container = "#chat";
      else delete dataset.container;
    }, isInline);
    comes();
    if (isInline) await tab.panel.waitFor();
    else await tab.launcher.waitFor();
    assert.equal(await tab.panel.isVisible(), isInline);
    assert.deepEqual(heard.filter((path) => !path.includes("/widget/")), []);
  }
});
