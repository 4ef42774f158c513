// The widget in pages that React and Vue draw: started by code or by a snippet, in a corner or in a component that comes and goes.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";
import { snippet } from "./fixtures.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

const REACT = ["react/umd/react.development.js", "react-dom/umd/react-dom.development.js"];
const VUE = ["vue/dist/vue.global.prod.js"];

const scripts = (files) => files.map((file) => `<script src="${stage.pages.library(file)}"></script>`).join("");

/** What code starts the widget with. */
const settings = ({ tenantId, publicKey }) => JSON.stringify({ tenantId, publicKey, container: "#chat" });

const start = (ids) => `(window.ChatRelay = window.ChatRelay || { q: [] }).q.push(["start", ${ids}]);`;

for (const [framework, files, app] of [
  [
    "React",
    REACT,
    (ids) => `
      const { StrictMode, createElement: h, useEffect, useState } = React;
      function Support() {
        useEffect(() => { ${start(ids)} }, []);
        return h("section", null, h("h2", null, "Support"), h("div", { id: "chat", style: { height: 480 } }));
      }
      function App() {
        const [page, setPage] = useState("support");
        const [count, setCount] = useState(0);
        return h("div", null,
          h("button", { id: "switch", onClick: () => setPage(page === "support" ? "shop" : "support") }, page),
          h("button", { id: "count", onClick: () => setCount(count + 1) }, count),
          page === "support" && h(Support));
      }
      ReactDOM.createRoot(document.getElementById("app")).render(h(StrictMode, null, h(App)));`,
  ],
  [
    "Vue",
    VUE,
    (ids) => `
      const Support = { mounted() { ${start(ids)} }, template: '<section><h2>Support</h2><div id="chat" style="height: 480px"></div></section>' };
      Vue.createApp({
        components: { Support },
        data: () => ({ page: "support", count: 0 }),
        methods: { go() { this.page = this.page === "support" ? "shop" : "support"; } },
        template: '<button id="switch" @click="go">{{ page }}</button><button id="count" @click="count += 1">{{ count }}</button><Support v-if="page === \\'support\\'"/>',
      }).mount("#app");`,
  ],
]) {
  stage.test(`${framework}: in a component that comes and goes, the chat is the same one`, async (come) => {
    const tenant = await stage.tenant();
    const made = await snippet(tenant);
    const script = `<script src="${made.src}" async></script>`;
    const visitor = await come();
    const tab = await visitor.visit(stage.put(`<div id="app"></div><script>${app(settings(made))}</script>${script}`, { head: scripts(files) }));
    await tab.panel.waitFor();
    await tab.write(QUESTION);
    await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
    await tab.input.fill("and when");
    await tab.page.locator("#count").click();
    await eventually(async () => assert.equal(await tab.page.locator("#count").textContent(), "1"));
    assert.equal(await tab.panel.isVisible(), true, "drawing the page again leaves it alone");
    for (const visible of [false, true]) {
      await tab.page.locator("#switch").click();
      await eventually(async () => assert.equal(await tab.panel.isVisible(), visible));
    }
    assert.equal(await tab.input.inputValue(), "and when");
    assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
    assert.equal((await tenant.conversations()).length, 1);
    assert.deepEqual(visitor.advice, []);
  });
}

stage.test("React: a document that is hydrated whole keeps the widget of its snippet", async (come) => {
  const tenant = await stage.tenant();
  const { code, src, publicKey } = await snippet(tenant);
  const files = [...REACT.map((file) => stage.pages.library(file)), "/hydrate.js"];
  const body = `<div id="main"><button id="count">0</button></div>${code}${files.map((file) => `<script src="${file}"></script>`).join("")}`;
  const url = stage.put("");
  // As the server renders it: no space between the elements that React finds again.
  stage.pages.putRaw(new URL(url).pathname, `<!doctype html><html lang="en"><head><title>A shop</title></head><body>${body}</body></html>`);
  stage.pages.putRaw(
    "/hydrate.js",
    `const { createElement: h, useState } = React;
    function Main() {
      const [count, setCount] = useState(0);
      return h("div", { id: "main" }, h("button", { id: "count", onClick: () => setCount(count + 1) }, count));
    }
    const scripts = ${JSON.stringify(files)}.map((file) => h("script", { key: file, src: file }));
    ReactDOM.hydrateRoot(document, h("html", { lang: "en" }, h("head", null, h("title", null, "A shop")), h("body", null, h(Main),
      h("script", { src: "${src}", "data-tenant-id": "${tenant.id}", "data-public-key": "${publicKey}", async: true }), ...scripts)));`,
    "text/javascript",
  );
  const visitor = await come();
  const tab = await visitor.visit(url);
  await answers(tab);
  await tab.page.locator("#count").click();
  await eventually(async () => assert.equal(await tab.page.locator("#count").textContent(), "1"));
  assert.equal(await tab.page.locator("chat-relay-widget").count(), 1);
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true");
  const mismatches = visitor.said.filter(({ text }) => /hydrat|did not match/i.test(text));
  assert.deepEqual(mismatches, []);
});
