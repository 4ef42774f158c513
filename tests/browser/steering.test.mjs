// What the page's owner decides: when the widget is seen, where it stands, how it starts; and pages that have changed what they run on.
import assert from "node:assert/strict";
import { Tab, eventually } from "./browser.mjs";
import { snippet } from "./fixtures.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

stage.test("the page hides and shows it, by code, by the hidden attribute and by its style sheet", async (come) => {
  const { code } = await snippet(await stage.tenant());
  const tab = await (await come()).visit(stage.put(code));
  await tab.launcher.waitFor();
  const hidden = (is) => eventually(async () => assert.equal(await tab.launcher.isVisible(), !is));
  await tab.page.evaluate(() => window.ChatRelay.hide());
  await hidden(true);
  await tab.page.evaluate(() => window.ChatRelay.show());
  await hidden(false);
  await tab.widget.evaluate((element) => (element.hidden = true));
  await hidden(true);
  await tab.page.evaluate(() => window.ChatRelay.open());
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  await hidden(false);
  await tab.page.evaluate(() => window.ChatRelay.hide());
  await hidden(true);
  await tab.page.evaluate(() => window.ChatRelay.toggle());
  await hidden(false);
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true", "what is hidden is shown, and not closed");
  await tab.page.addStyleTag({ content: "chat-relay-widget { display: none }" });
  await hidden(true);
});

stage.test("it stands as far from the edges, and as high, as the page says, opened or not", async (come) => {
  const { code } = await snippet(await stage.tenant());
  const style = "<style>chat-relay-widget { --chat-relay-offset-y: 72px; --chat-relay-z: 5 }</style>";
  const tab = await (await come()).visit(stage.put(style + code));
  const below = async () => 900 - (await tab.launcher.boundingBox()).y - 56;
  await tab.launcher.waitFor();
  await tab.stands();
  assert.equal(await below(), 92);
  await tab.page.evaluate(() => Object.assign(document.querySelector("script[data-public-key]").dataset, { offsetX: "40", offsetY: "10" }));
  await eventually(async () => assert.equal(await below(), 30));
  const { x } = await tab.launcher.boundingBox();
  assert.equal(1440 - x - 56, 60);
  await tab.open();
  assert.equal(Number(await tab.widget.evaluate((element) => getComputedStyle(element).zIndex)), 6);
});

stage.test("a page with a button of its own has no launcher, and the panel stands in the corner", async (come) => {
  const { code } = await snippet(await stage.tenant());
  const own = `<button id="own" onclick="ChatRelay.open()">Help</button>`;
  const tab = await (await come()).visit(stage.put(own + code.replace("<script ", '<script data-launcher="none" ')));
  await tab.launcher.waitFor({ state: "attached" });
  await tab.page.locator("#own").click();
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  await tab.stands();
  assert.equal(await tab.launcher.isVisible(), false);
  const { y, height } = await tab.panel.boundingBox();
  assert.equal(900 - y - height, 20);
  await tab.page.keyboard.press("Escape");
  await eventually(async () => assert.equal(await tab.focused(), "own"));
});

for (const [name, html] of Object.entries({
  "ids in the script's address": ({ src, tenantId, publicKey }) =>
    `<script src="${src}?tenant_id=${tenantId}&public_key=${publicKey}" async></script>`,
  "an injected script without attributes": ({ src, tenantId, publicKey }) => `<script>
    const script = document.createElement("script");
    script.src = "${src}?tenant_id=${tenantId}&public_key=${publicKey}";
    document.head.append(script);
  </script>`,
  "a module, which has no currentScript": ({ src, tenantId, publicKey }) =>
    `<script type="module" src="${src}" data-tenant-id="${tenantId}" data-public-key="${publicKey}" crossorigin></script>`,
  "a stub's queue": ({ src, tenantId, publicKey }) => `<script>
    window.ChatRelay = window.ChatRelay || { q: [] };
    ChatRelay.q.push(["on", "ready", () => (window.isReady = true)], ["start", { tenantId: "${tenantId}", public_key: "${publicKey}" }]);
  </script><script src="${src}" async></script>`,
  "a stub that is a function": ({ src, tenantId, publicKey }) => `<script>
    window.ChatRelay = window.ChatRelay || function () { (ChatRelay.q = ChatRelay.q || []).push(arguments); };
    ChatRelay("start", { tenantId: "${tenantId}", publicKey: "${publicKey}" });
    ChatRelay("on", "ready", () => (window.isReady = true));
  </script><script src="${src}" async></script>`,
  "code that starts it later": ({ src, tenantId, publicKey }) =>
    `<script src="${src}" async onload='ChatRelay.start({ tenantId: "${tenantId}", publicKey: "${publicKey}" })'></script>`,
  "an element of that id": ({ code }) => `<div id="ChatRelay">Our chat</div>${code}`,
  "two elements of that id": ({ code }) => `<a name="ChatRelay"></a><img alt="" id="ChatRelay">${code}`,
})) {
  stage.test(`it starts with ${name}`, async (come) => {
    const made = await snippet(await stage.tenant());
    const visitor = await come();
    const tab = await visitor.visit(stage.put(html(made)));
    await answers(tab);
    if (name.includes("stub")) assert.equal(await tab.page.evaluate(() => window.isReady), true);
    assert.equal(await tab.page.evaluate(() => typeof window.ChatRelay.open), "function");
    await tab.page.evaluate(() => window.ChatRelay("close"));
    await eventually(async () => assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false"));
    assert.deepEqual(visitor.advice, []);
  });
}

stage.test("a snippet without ids is told on the console, with the ways that tag managers leave", async (come) => {
  const { src } = await snippet(await stage.tenant());
  const visitor = await come();
  await visitor.visit(stage.put(`<script src="${src}"></script>`));
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /data-tenant-id and data-public-key.*tag manager.*\?tenant_id=.*data-cfasync/);
});

/** Pages of ten years ago, and pages that guard or log by patching. Each says what it does before and after the widget's script. */
const PATCHES = {
  "Prototype.js, whose arrays and strings have a toJSON": () => {
    for (const { prototype } of [Array, String, Number, Object]) {
      Object.defineProperty(prototype, "toJSON", {
        value() {
          return `"${this}"`;
        },
      });
    }
  },
  "another Array.from": () => {
    Array.from = () => {
      throw new Error("the page's Array.from");
    };
  },
  "no console": () => {
    Object.defineProperty(window, "console", { value: undefined });
  },
  "other constructors of events": () => {
    for (const name of ["Event", "CustomEvent", "MouseEvent", "PointerEvent", "KeyboardEvent", "InputEvent"]) {
      window[name] = function () {
        throw new Error(`the page's ${name}`);
      };
    }
  },
  "enumerable additions to Object.prototype and Array.prototype": () => {
    Object.prototype.extend = function () {};
    Array.prototype.remove = function () {};
  },
};
for (const [name, patch] of Object.entries(PATCHES)) {
  for (const when of ["before", "after"]) {
    stage.test(`on a page with ${name}, ${when} the widget's script`, async (come) => {
      const tenant = await stage.tenant();
      const code = (await tenant.embedCode()).replace(" async", "");
      const script = `<script>(${patch})()</script>`;
      const tab = await (await come()).visit(stage.put(when === "before" ? script + code : code + script));
      await tab.launcher.waitFor();
      await tab.launcher.click();
      await tab.write(QUESTION);
      const bubbles = () => tab.widget.locator(".bubble").allTextContents();
      await eventually(async () => assert.ok((await bubbles()).includes(ANSWER)));
      assert.equal((await tenant.messages())[0].content, QUESTION);
      await tab.page.reload();
      await eventually(async () => assert.ok((await bubbles()).includes(ANSWER), "the session was kept"));
    });
  }
}

stage.test("a widget started by code on a page with another one is a widget of its own", async (come) => {
  const tenant = await stage.tenant();
  const { code } = await snippet(tenant);
  const further = await tenant.furtherEmbedCode("Second");
  const [, key] = /data-public-key="([^"]+)"/.exec(further);
  const tab = await (await come()).visit(stage.put(code));
  await tab.launcher.waitFor();
  await tab.page.evaluate(([tenantId, publicKey]) => window.ChatRelay.start({ tenantId, publicKey, position: "bottom-left" }), [tenant.id, key]);
  const second = new Tab(tab.page, { index: 1 });
  await second.launcher.waitFor();
  assert.ok((await second.launcher.boundingBox()).x < 100);
});

stage.test("what comes while the page hides the widget is unread until it is shown", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put((await snippet(tenant)).code));
  await answers(tab);
  await tab.page.evaluate(() => {
    window.unread = 0;
    window.ChatRelay.on("unread", ({ count }) => (window.unread = count));
    window.ChatRelay.hide();
  });
  await tenant.say("agent", "Are you there?");
  await eventually(async () => assert.equal(await tab.page.evaluate(() => window.unread), 1));
  await tab.page.evaluate(() => window.ChatRelay.show());
  await eventually(async () => assert.equal(await tab.page.evaluate(() => window.unread), 0));
});

for (const style of ["html { font-size: 62.5% }", "html { font-size: 30px; letter-spacing: 4px; text-transform: uppercase }"]) {
  stage.test(`its text is as large as ever on a page with ${style}`, async (come) => {
    const { code } = await snippet(await stage.tenant());
    const tab = await (await come()).visit(stage.put(`<style>${style}</style>${code}`));
    await tab.open();
    const look = await tab.input.evaluate((node) => {
      const { fontSize, letterSpacing, textTransform } = getComputedStyle(node);
      return [fontSize, letterSpacing, textTransform];
    });
    assert.deepEqual(look, ["15px", "normal", "none"]);
  });
}

stage.test("a frame of another origin with the name ChatRelay is no chat", async (come) => {
  const { code } = await snippet(await stage.tenant());
  const frame = stage.put("a frame", { host: "elsewhere" });
  const tab = await (await come()).visit(stage.put(`<iframe name="ChatRelay" title="a frame" src="${frame}"></iframe>${code}`));
  await answers(tab);
});

stage.test("calls that mean nothing are told on the console, and harm nothing", async (come) => {
  const { code } = await snippet(await stage.tenant());
  const visitor = await come();
  const tab = await visitor.visit(stage.put(code));
  await tab.launcher.waitFor();
  await tab.page.evaluate(() => {
    for (const settings of [null, undefined, "pk_1", 7, [], { tenantId: "t" }, { publicKey: "pk_1", baseUrl: "javascript:alert(1)", tenantId: "t" }]) {
      window.ChatRelay.start(settings);
    }
    window.ChatRelay("constructor");
    window.ChatRelay("q");
    window.ChatRelay.q.push(null, 7, [], ["nonsense"], {});
  });
  const told = (pattern) => visitor.advice.filter((line) => pattern.test(line)).length;
  assert.equal(told(/start needs tenantId and publicKey/), 7);
  assert.equal(told(/has no method/), 4);
  assert.equal(visitor.advice.length, 14, visitor.advice.join("\n"));
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
  await tab.stands();
  const { x, y } = await tab.launcher.boundingBox();
  for (const offset of ["-5", "1e9", "a lot", "NaN", ""]) {
    await tab.page.evaluate((value) => Object.assign(document.querySelector("script[data-public-key]").dataset, { offsetX: value, offsetY: value }), offset);
    const box = await tab.launcher.boundingBox();
    assert.deepEqual([box.x, box.y], [x, y], offset);
  }
  await answers(tab);
});
