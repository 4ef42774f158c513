// What a page loads before the first click, and what comes after: also while a relay is upgraded, and where the chat does not come at once.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { eventually } from "./browser.mjs";
import { sideBySide } from "./fixtures.mjs";
import { ANSWER, GREETING, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

const requests = (visitor) => {
  const paths = [];
  visitor.context.on("request", (request) => {
    if (request.url().startsWith(stage.relay.url)) paths.push(new URL(request.url()).pathname);
  });
  return paths;
};

/** How many bytes a file of the relay's has in gzip. */
const gzipped = async (path) => gzipSync(Buffer.from(await (await fetch(stage.relay.url + path)).arrayBuffer()), { level: 9 }).length;

stage.test("before the first click a page loads the launcher alone, and nothing in it moves", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map(({ value }) => value))).observe({ type: "layout-shift", buffered: true });
  });
  const paths = requests(visitor);
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.widget.locator(".greeting").waitFor();
  assert.deepEqual(paths, ["/widget.js", "/api/v1/fetch/widget-config"]);
  const [loader, chat] = [await gzipped("/widget.js"), await gzipped("/api/v1/widget/chat.js")];
  assert.ok(loader <= 9_000 && loader + chat <= 45_000, `${loader} and ${chat} bytes`);

  await tab.approach();
  assert.equal(await tab.panel.count(), 0, "a look opens nothing");
  const box = await tab.launcher.boundingBox();
  await tab.launcher.click();
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  assert.equal(await tab.focused(), "input");
  await tab.stands();
  assert.deepEqual(await tab.launcher.boundingBox(), box, "the launcher stands where it stood");
  assert.equal(paths.filter((path) => path.endsWith("/fetch/widget-config")).length, 1, "the answer is handed on");
  assert.deepEqual(await tab.page.evaluate(() => window.shifts), []);

  // Who has chatted here goes on with the next page.
  await answers(tab);
  await tab.page.goto(stage.put(await tenant.embedCode()));
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
});

stage.test("the launcher speaks the page's language before any text is fetched, and follows it", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const paths = requests(visitor);
  const tab = await visitor.visit(stage.put(await tenant.embedCode(), { lang: "de-CH" }));
  await tab.widget.getByText("Hallo! Wie können wir helfen?").waitFor();
  assert.equal(await tab.launcher.getAttribute("aria-label"), "Chat öffnen");
  assert.equal(await tab.widget.locator(".root").getAttribute("lang"), "de");
  assert.ok(!paths.some((path) => path.includes("/texts/")));
  await tab.page.evaluate(() => (document.querySelector("script[data-public-key]").dataset.locale = "ar"));
  await eventually(async () => assert.equal(await tab.widget.locator(".root").getAttribute("lang"), "ar"));
  assert.equal(await tab.widget.locator(".root").getAttribute("dir"), "rtl");
  await tab.open();
  assert.equal(await tab.widget.locator(".root").getAttribute("lang"), "ar");
});

stage.test("a greeting that was sent away stays away, and one that is clicked opens the chat", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const tab = await visitor.visit(url);
  const greeting = tab.widget.locator(".greeting");
  await greeting.getByRole("button", { name: "Dismiss" }).click();
  assert.equal(await greeting.isVisible(), false);
  await tab.page.reload();
  await tab.launcher.waitFor();
  await tab.open();
  await tab.launcher.click();
  assert.equal(await greeting.isVisible(), false);

  const other = await (await come()).visit(url);
  await other.widget.locator(".greeting").getByRole("button", { name: GREETING }).click();
  await other.panel.and(other.widget.locator("[data-open=true]")).waitFor();
  assert.equal(await other.focused(), "input");
});

stage.test("a click is remembered while the chat does not come, and the page's developer is told", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  let isUp = false;
  await visitor.context.route(/\/widget\/chat\.js/, (route) => (isUp ? route.continue() : route.abort()));
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.launcher.click();
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /widget\/chat\.js cannot be loaded.*script-src/);
  isUp = true;
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  await answers(tab);
  assert.equal(visitor.advice.length, 1);
});

stage.test("who has chatted before has a launcher even while the chat does not come", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const tab = await visitor.visit(url);
  await answers(tab);
  let isUp = false;
  await visitor.context.route(/\/widget\/chat\.js/, (route) => (isUp ? route.continue() : route.abort()));
  const errors = tab.page.waitForEvent("console", (line) => line.text() === "heard unreachable");
  await tab.page.goto(stage.put(`<script>document.addEventListener("chat-relay:error", ({ detail }) => console.log("heard " + detail.error_code));</script>${await tenant.embedCode()}`));
  await tab.launcher.waitFor();
  await errors;
  assert.equal(await tab.panel.count(), 0);
  isUp = true;
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
});

stage.test("a conversation that begins in another tab goes on in this one", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const visitor = await come();
  const [idle, active] = [await visitor.visit(url), await visitor.visit(url)];
  await idle.widget.locator(".greeting").waitFor();
  await answers(active);
  await active.page.close();
  await tenant.say("agent", "It left this morning.");
  await eventually(async () => assert.equal(await idle.badge.textContent(), "1"));
  await idle.widget.locator(".greeting").getByText("It left this morning.").waitFor();
});

stage.test("what the page asks for before the chat has come is done when it has", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(code));
  await answers(tab);
  // The panel was left open; this page closes it, and says so before anything is there.
  await tab.page.goto(stage.put(`<script>window.ChatRelay = { q: [["close"]] };</script>${code}`));
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false");

  // A button of the page's own takes the visitor into the chat, the first time too.
  const own = await (await come()).visit(stage.put(code.replace("<script ", '<script data-launcher="none" ')));
  await own.page.evaluate(() => new Promise((resolve) => window.ChatRelay.on("ready", resolve)));
  await own.page.evaluate(() => document.querySelector("#host").addEventListener("click", () => window.ChatRelay.open()));
  await own.page.locator("#host").click();
  await own.panel.and(own.widget.locator("[data-open=true]")).waitFor();
  await eventually(async () => assert.equal(await own.focused(), "input"));
});

stage.test("a chat that comes late takes the focus from nobody who writes elsewhere", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  let isUp = false;
  await visitor.context.route(/\/widget\/chat\.js/, (route) => (isUp ? route.continue() : route.abort()));
  const tab = await visitor.visit(stage.put(`<input id="password">${await tenant.embedCode()}`));
  await tab.launcher.click();
  await tab.page.locator("#password").focus();
  isUp = true;
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  await tab.page.keyboard.type("secret");
  assert.equal(await tab.page.locator("#password").inputValue(), "secret");
});

stage.test("two launchers keep their places when the chat comes", async (come) => {
  const tenant = await stage.tenant();
  const { tabs } = await sideBySide(stage, come, tenant);
  for (const tab of tabs) await tab.stands();
  const places = async () => Promise.all(tabs.map(async ({ launcher }) => (await launcher.boundingBox()).x));
  const before = await places();
  await tabs[1].open();
  for (const tab of tabs) await tab.panel.waitFor({ state: "attached" });
  assert.deepEqual(await places(), before);
});

stage.test("under a policy that names the relay, and asks for trusted types", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const relay = stage.relay.url;
  const policy =
    `default-src 'none'; script-src ${relay}; connect-src ${relay} ${relay.replace("http", "ws")}; img-src 'none'; ` +
    "require-trusted-types-for 'script'; trusted-types 'none'";
  const tab = await visitor.visit(stage.put(await tenant.embedCode(), { headers: { "Content-Security-Policy": policy } }));
  await answers(tab);
  assert.deepEqual(visitor.advice, []);
});

stage.test("a nonce of the page's covers the chat too", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const relay = stage.relay.url;
  const policy = `script-src 'nonce-abc' 'strict-dynamic'; connect-src ${relay} ${relay.replace("http", "ws")}`;
  const code = (await tenant.embedCode()).replace("<script ", '<script nonce="abc" ');
  const tab = await visitor.visit(stage.put(code, { headers: { "Content-Security-Policy": policy } }));
  await answers(tab);
});

const version = (number, file) => readFileSync(new URL(`versions/${number}/${file}`, import.meta.url));

/** A loader or a chat of another version: while a relay is upgraded, browsers have the one from a cache, and the other from another gateway. */
for (const [name, path] of [["widget.js", "**/widget.js"], ["chat.js", "**/api/v1/widget/chat.js"]]) {
  stage.test(`version 1 of ${name} works with this version of the other file`, async (come) => {
    const tenant = await stage.tenant();
    const visitor = await come();
    await visitor.context.route(path, (route) =>
      route.fulfill({ body: version(1, name), headers: { "Content-Type": "text/javascript", "Access-Control-Allow-Origin": "*" } }),
    );
    const tab = await visitor.visit(stage.put(await tenant.embedCode()));
    await tab.widget.locator(".greeting").waitFor();
    await tab.page.evaluate(() => {
      window.heard = [];
      for (const event of ["ready", "open", "message"]) window.ChatRelay.on(event, () => window.heard.push(event));
    });
    await answers(tab);
    await tab.page.reload();
    await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
    await tab.page.evaluate(() => window.ChatRelay.reset());
    await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING]));
    assert.deepEqual(visitor.advice, []);
  });
}

stage.test("a chat that is newer than its loader brings methods, and one that is told less does without", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const newer = `
    import * as real from "${stage.relay.url}/api/v1/widget/chat.js?real";
    export const METHODS = [...real.METHODS, "sparkle"];
    export function take({ settings, host, tell }) {
      const chat = real.take({ settings: { ...settings, ofTomorrow: "yes" }, host, tell });
      return { ...chat, call: (method, ...args) => (method === "sparkle" ? (window.sparkled = args) : chat.call(method, ...args)) };
    }`;
  await visitor.context.route(/\/widget\/chat\.js$/, (route) =>
    route.fulfill({ body: newer, headers: { "Content-Type": "text/javascript", "Access-Control-Allow-Origin": "*" } }),
  );
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  await tab.page.evaluate(() => window.ChatRelay.sparkle(7));
  assert.deepEqual(await tab.page.evaluate(() => window.sparkled), [7]);
  assert.deepEqual(visitor.advice, []);
});

stage.test("the files come compressed as the browser takes them", async () => {
  for (const path of ["/widget.js", "/api/v1/widget/chat.js"]) {
    const response = await fetch(stage.relay.url + path, { headers: { "Accept-Encoding": "br, gzip" } });
    assert.equal(response.headers.get("content-encoding"), "br", path);
    assert.ok((await response.text()).length > 1000, path);
  }
});
