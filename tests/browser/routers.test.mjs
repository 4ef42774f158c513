// Pages that change under the widget: routers that swap the body, copies, transforms, zoom; and what stays for the visit.
import assert from "node:assert/strict";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

/** How many sockets the visitor's pages have open, and have opened. */
function watchSockets(visitor) {
  const sockets = [];
  visitor.context.on("page", (page) => page.on("websocket", (socket) => sockets.push(socket)));
  return () => [sockets.filter((socket) => !socket.isClosed()).length, sockets.length];
}

for (const [router, library, attributes] of [
  ["Turbo", "@hotwired/turbo/dist/turbo.es2017-umd.js", ""],
  ["htmx", "htmx.org/dist/htmx.js", ' hx-boost="true"'],
]) {
  stage.test(`${router} takes a visitor across five pages, with one widget, one socket, and the draft in it`, async (come) => {
    const tenant = await stage.tenant();
    const code = await tenant.embedCode();
    const head = `<script src="${stage.pages.library(library)}"></script>`;
    const urls = Array.from({ length: 5 }, () => stage.put("", { head }));
    for (const [number, url] of urls.entries()) {
      const next = urls[(number + 1) % urls.length];
      const links = `<p${attributes}><a id="next" href="${next}">Page ${number + 2}</a></p><p id="page">${number}</p>`;
      stage.pages.put(new URL(url).pathname, links + code, { head });
    }
    const visitor = await come();
    const sockets = watchSockets(visitor);
    const tab = await visitor.visit(urls[0]);
    await answers(tab);
    await tab.input.pressSequentially("and when");
    await tab.widget.evaluate((element) => (window.widgetBefore = element));
    for (const number of [1, 2, 3, 4]) {
      await tab.page.locator("#next").click();
      await eventually(async () => assert.equal(await tab.page.locator("#page").textContent(), String(number)));
      assert.equal(await tab.page.locator("chat-relay-widget").count(), 1, `on page ${number}`);
      assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true");
      assert.equal(await tab.input.inputValue(), "and when");
    }
    await tab.page.goBack();
    await eventually(async () => assert.equal(await tab.page.locator("#page").textContent(), "3"));
    assert.equal(await tab.widget.evaluate((element) => element === window.widgetBefore), true, "it is the same element");
    await tab.write(QUESTION);
    await eventually(async () => assert.deepEqual((await tab.bubbles()).slice(-2), [`sent: ${QUESTION}`, ANSWER]));
    assert.deepEqual(sockets(), [1, 1]);
    assert.deepEqual(visitor.advice, []);
  });
}

stage.test("a page that replaces its body, its whole document element, or puts copies of the widget into it", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const sockets = watchSockets(visitor);
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  for (const swap of [
    () => document.body.replaceWith(document.createElement("body")),
    () => (document.body.innerHTML = "<p>Another page</p>"),
    () => document.documentElement.replaceWith(new DOMParser().parseFromString("<p>Another page", "text/html").documentElement),
    () => document.documentElement.replaceWith(document.documentElement.cloneNode(true)),
    () => document.body.append(document.querySelector("chat-relay-widget").cloneNode(true)),
    () => document.body.insertAdjacentHTML("beforeend", "<chat-relay-widget></chat-relay-widget>"),
  ]) {
    await tab.page.evaluate(swap);
    await eventually(async () => assert.equal(await tab.page.locator("chat-relay-widget").count(), 1, String(swap)));
    assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true", String(swap));
  }
  await tab.write(QUESTION);
  await eventually(async () => assert.deepEqual((await tab.bubbles()).slice(-2), [`sent: ${QUESTION}`, ANSWER]));
  assert.deepEqual(sockets(), [1, 1]);
});

stage.test("a page that is written anew by document.open has a widget that answers", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(code));
  await answers(tab);
  await tab.page.evaluate((html) => {
    document.open();
    document.write(`<!doctype html><title>Anew</title><body>${html}</body>`);
    document.close();
  }, code);
  await eventually(async () => assert.equal(await tab.page.locator("chat-relay-widget").count(), 1));
  await tab.open();
  await tab.write(QUESTION);
  await eventually(async () => assert.deepEqual((await tab.bubbles()).slice(-2), [`sent: ${QUESTION}`, ANSWER]));
  await tab.page.keyboard.press("Escape");
  await eventually(async () => assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false"));
});

stage.test("the newest page's snippet says how the widget looks", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const tab = await (await come()).visit(stage.put(code));
  await tab.launcher.waitFor();
  await tab.page.evaluate((html) => {
    const body = document.createElement("body");
    const { src, dataset } = document.createRange().createContextualFragment(html).firstElementChild;
    const script = Object.assign(document.createElement("script"), { src });
    Object.assign(script.dataset, dataset, { theme: "dark" });
    body.append(script);
    document.body.replaceWith(body);
  }, code);
  const root = tab.widget.locator(".root");
  await eventually(async () => assert.equal(await root.getAttribute("data-theme"), "dark"));
  await tab.page.evaluate(() => (document.querySelector("script[data-public-key]").dataset.theme = "light"));
  await eventually(async () => assert.equal(await root.getAttribute("data-theme"), "light"));
});

for (const style of ["body { transform: translateX(40px) }", "body { filter: blur(0) }", "html { zoom: 1.25 }", "html { zoom: 0.8 }"]) {
  for (const viewport of [{ width: 1440, height: 900 }, { width: 360, height: 640 }]) {
    stage.test(`everything is in the window: ${style} at ${viewport.width} px`, async (come) => {
      const tenant = await stage.tenant();
      const visitor = await come({ viewport });
      const tab = await visitor.visit(stage.put(`<style>${style}</style><div style="height: 3000px"></div>${await tenant.embedCode()}`));
      await tab.open();
      await tab.page.evaluate(() => scrollTo(0, 1000));
      await tab.stands();
      await picture(tab.page, `host-${style.replace(/\W+/g, "-")}${viewport.width}`);
      for (const part of [tab.panel, tab.widget.locator(".close"), tab.send]) {
        const { x, y, width, height } = await part.boundingBox();
        const isInside = x >= -1 && y >= -1 && x + width <= viewport.width + 1 && y + height <= viewport.height + 1;
        assert.ok(isInside, JSON.stringify({ x, y, width, height }));
      }
    });
  }
}

stage.test("an open panel, its draft and the newest words are there after a reload and on the next page of the visit", async (come) => {
  const tenant = await stage.tenant();
  const code = await tenant.embedCode();
  const urls = [stage.put(code), stage.put(code)];
  const visitor = await come();
  const tab = await visitor.visit(urls[0]);
  await answers(tab);
  await tab.input.fill("half a thought");
  const isThere = async () => {
    await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
    assert.equal(await tab.launcher.getAttribute("aria-expanded"), "true");
    assert.equal(await tab.input.inputValue(), "half a thought");
    assert.notEqual(await tab.focused(), "input", "the focus is the page's");
  };
  await tab.page.reload();
  await isThere();
  await tab.page.goto(urls[1]);
  await isThere();
  await tab.write("half a thought, and the other half");
  await tab.widget.locator(".close").click();
  await tab.page.goto(urls[0]);
  await tab.launcher.waitFor();
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false", "what was closed stays closed");
  assert.equal(await tab.input.inputValue(), "", "what was sent is no draft");
  const other = await visitor.visit(urls[0]);
  await other.launcher.waitFor();
  assert.equal(await other.launcher.getAttribute("aria-expanded"), "false", "another tab is another visit");
});

stage.test("a panel that the page opens stays closed once the visitor has closed it", async (come) => {
  const tenant = await stage.tenant();
  const code = (await tenant.embedCode()).replace("<script ", "<script data-open ");
  const tab = await (await come()).visit(stage.put(code));
  const expanded = (value) => eventually(async () => assert.equal(await tab.launcher.getAttribute("aria-expanded"), value));
  await expanded("true");
  await tab.widget.locator(".close").click();
  await tab.page.reload();
  await tab.launcher.waitFor();
  await expanded("false");
});

stage.test("on a phone the sheet is closed on the next page, and its badge tells of what came", async (come) => {
  const tenant = await stage.tenant();
  const url = stage.put(await tenant.embedCode());
  const tab = await (await come({ viewport: { width: 360, height: 640 } })).visit(url);
  await answers(tab);
  await tab.input.fill("a draft");
  await tab.page.goto("about:blank");
  await tenant.say("agent", "Here you are.");
  await tab.page.goto(url);
  await eventually(async () => assert.equal(await tab.badge.textContent(), "1"));
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false");
  await tab.open();
  assert.equal(await tab.input.inputValue(), "a draft");
});
