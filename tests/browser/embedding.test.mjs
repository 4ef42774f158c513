// Where the line is pasted: in frames, twice, beside another widget, under strict policies, and on /demo.
import assert from "node:assert/strict";
import { Tab, eventually } from "./browser.mjs";
import { sideBySide } from "./fixtures.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

/** Every violation of a Content-Security-Policy, as the page hears of it. */
async function comeWatchingPolicies(come) {
  const visitor = await come();
  const violations = [];
  await visitor.context.exposeFunction("__violated", (violation) => violations.push(violation));
  await visitor.context.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
      window.__violated(`${effectiveDirective} ${blockedURI}`),
    ),
  );
  const onConsole = () => visitor.said.filter(({ text }) => /content security policy|trusted/i.test(text)).map(({ text }) => text);
  return { visitor, violations, onConsole };
}

stage.test("in an iframe", async (come) => {
  const tenant = await stage.tenant();
  const inner = stage.put(await tenant.embedCode());
  const visitor = await come();
  const { page } = await visitor.visit(stage.put(`<iframe src="${inner}" title="chat" width="420" height="640"></iframe>`, { host: "outside" }));
  await answers(new Tab(page, { frame: page.frameLocator("iframe") }));
  assert.deepEqual(visitor.advice, []);
});

stage.test("the same line twice is one widget", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const tab = await (await come()).visit(stage.put(code + code));
  await answers(tab);
  await tab.page.waitForLoadState("load");
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
  await tab.page.evaluate((html) => {
    const { src, dataset } = document.createRange().createContextualFragment(html).firstElementChild;
    const script = Object.assign(document.createElement("script"), { src });
    Object.assign(script.dataset, dataset);
    const loaded = new Promise((resolve) => script.addEventListener("load", resolve));
    document.body.append(script);
    return loaded;
  }, code);
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
});

stage.test("two keys are two widgets side by side, each with its own conversation", async (come) => {
  const tenant = await stage.tenant();
  const { codes, page, tabs } = await sideBySide(stage, come, tenant);
  const apart = (boxes) => boxes[0].x + boxes[0].width <= boxes[1].x || boxes[1].x + boxes[1].width <= boxes[0].x;
  assert.ok(apart(await Promise.all(tabs.map(({ launcher }) => launcher.boundingBox()))), "launchers do not overlap");
  for (const tab of tabs) await answers(tab);
  await eventually(async () =>
    assert.ok(apart(await Promise.all(tabs.map(({ panel }) => panel.boundingBox()))), "panels do not overlap"),
  );
  assert.equal((await tenant.conversations()).length, 2);
  const [, key] = /data-public-key="([^"]+)"/.exec(codes[1]);
  await page.evaluate((publicKey) => window.ChatRelay.widget(publicKey).close(), key);
  const isOpen = await page.locator("chat-relay-widget").evaluateAll((widgets) =>
    widgets.map(({ shadowRoot }) => [shadowRoot.querySelector(".launcher").getAttribute("aria-expanded"), shadowRoot.querySelector(".root").dataset.open].join()),
  );
  assert.deepEqual(isOpen.sort(), ["false,false", "true,true"]);
});

stage.test("under a policy that allows nothing but the relay", async (come) => {
  const tenant = await stage.tenant();
  const { url } = stage.relay;
  const policy = [
    "default-src 'none'",
    `script-src ${url}`,
    `connect-src ${url} ${url.replace("http", "ws")}`,
    "require-trusted-types-for 'script'",
  ].join("; ");
  const { visitor, violations, onConsole } = await comeWatchingPolicies(come);
  const tab = await visitor.visit(stage.put(await tenant.embedCode(), { headers: { "Content-Security-Policy": policy } }));
  await answers(tab);
  assert.equal(await tab.launcher.evaluate((node) => getComputedStyle(node).borderRadius), "50%", "it has its styles");
  assert.deepEqual(violations, []);
  assert.deepEqual(onConsole(), []);
});

stage.test("a policy that forgets connect-src is named on the console", async (come) => {
  const tenant = await stage.tenant();
  const policy = `default-src 'none'; script-src ${stage.relay.url}`;
  const { visitor, violations } = await comeWatchingPolicies(come);
  const tab = await visitor.visit(stage.put(await tenant.embedCode(), { headers: { "Content-Security-Policy": policy } }));
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /cannot be reached from .* connect-src/);
  assert.equal(await tab.launcher.count(), 0);
  assert.ok(violations.length > 0 && violations.every((violation) => violation.startsWith("connect-src")), violations.join());
});

stage.test("on /demo, under its own policy", async (come) => {
  const tenant = await stage.relay.provision([stage.relay.url]);
  await tenant.ingest("Orders", ANSWER);
  const { visitor, violations, onConsole } = await comeWatchingPolicies(come);
  const tab = await visitor.visit(`${stage.relay.url}/demo`);
  assert.ok((await tab.page.locator("pre").textContent()).includes(tenant.id), "it shows the line to paste");
  await answers(tab);
  assert.deepEqual(violations, []);
  assert.deepEqual(onConsole(), []);
  assert.deepEqual(visitor.advice, []);
});

stage.test("a widget that is taken out of the page leaves it", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const sockets = [];
  visitor.context.on("page", (page) => page.on("websocket", (socket) => sockets.push(socket)));
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  assert.deepEqual(sockets.map((socket) => socket.isClosed()), [false]);
  await tab.widget.evaluate((element) => element.remove());
  await eventually(() => assert.deepEqual(sockets.map((socket) => socket.isClosed()), [true]));
});

stage.test("the page hears of everything, by ChatRelay.on and as DOM events, and can open and close", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.addInitScript(() => {
    window.heard = { dom: [], api: [] };
    for (const name of ["ready", "open", "close", "message", "status"]) {
      document.addEventListener(`chat-relay:${name}`, ({ detail }) => window.heard.dom.push([name, detail.content ?? ""]));
    }
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.launcher.waitFor();
  const unsubscribed = await tab.page.evaluate(() => {
    const note = (name) => (detail) => window.heard.api.push([name, detail.content ?? ""]);
    const stops = ["ready", "open", "close", "message", "status"].map((name) => window.ChatRelay.on(name, note(name)));
    window.ChatRelay.on("open", () => {
      throw new Error("a listener of the page");
    });
    window.ChatRelay.toggle();
    return stops.length;
  });
  assert.equal(unsubscribed, 5);
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  await tab.write(QUESTION);
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await tab.page.evaluate(() => window.ChatRelay.toggle());
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false");
  const { dom, api } = await tab.page.evaluate(() => window.heard);
  assert.deepEqual(dom, api);
  const told = api.filter(([name]) => name !== "status");
  assert.deepEqual(told, [["ready", ""], ["open", ""], ["message", QUESTION], ["message", ANSWER], ["close", ""]]);
  assert.ok(api.some(([name]) => name === "status"));
  assert.equal(await tab.page.evaluate(() => window.ChatRelay.widget("pk_another")), null);
});

stage.test("theme, colour, place and language follow the script element while the widget lives", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await tab.launcher.waitFor();
  const root = tab.widget.locator(".root");
  const set = (name, value) =>
    tab.page.evaluate(([key, to]) => document.querySelector("script[data-public-key]").setAttribute(key, to), [name, value]);
  const has = (name, value) => eventually(async () => assert.equal(await root.getAttribute(name), value));
  await set("data-theme", "dark");
  await has("data-theme", "dark");
  await set("data-position", "bottom-left");
  await has("data-position", "bottom-left");
  const { x } = await tab.launcher.boundingBox();
  assert.ok(x < 100, `the launcher stands at ${x}`);
  await set("data-locale", "fr");
  await has("lang", "fr");
  await set("data-theme", "light");
  await set("data-color", "#7a1fa2");
  const colour = () => tab.launcher.evaluate((node) => getComputedStyle(node).backgroundColor);
  await eventually(async () => assert.equal(await colour(), "rgb(122, 31, 162)"));
  await set("data-locale", `en-${"x-verylong".repeat(9)}`);
  await has("lang", "en");
});

stage.test("where storage is refused the chat works for the page view", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.addInitScript(() => {
    const refuse = { get: () => { throw new DOMException("refused", "SecurityError"); } };
    for (const kind of ["localStorage", "sessionStorage"]) Object.defineProperty(window, kind, refuse);
  });
  await answers(await visitor.visit(stage.put(await tenant.embedCode())));
  assert.deepEqual(visitor.advice, []);
});

stage.test("who is told that the chat is offline, and gets through all the same, is not told so any more", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.route(/widget-config/, async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    await route.fulfill({ response, json: { ...json, data: { ...json.data, is_online: false } } });
  });
  let begins;
  const held = new Promise((resolve) => (begins = resolve));
  await visitor.context.route(/create\/visitor-session/, async (route) => {
    await held;
    await route.continue();
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  assert.equal(await tab.status.textContent(), "Offline. Leave us a message.");
  begins();
  await eventually(async () => assert.notEqual(await tab.status.textContent(), "Offline. Leave us a message."));
});

stage.test("in a sandboxed frame, whose origin no relay lets in, the advice is another one", async (come) => {
  const tenant = await stage.tenant();
  const inner = stage.put(await tenant.embedCode());
  const visitor = await come();
  await visitor.visit(stage.put(`<iframe src="${inner}" title="chat" sandbox="allow-scripts"></iframe>`));
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /Serve the page over http or https, outside of sandboxed frames/);
});
