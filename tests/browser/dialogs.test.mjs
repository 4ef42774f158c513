// Pages that want the visitor's keys, clicks and focus for themselves: dialogs that trap the focus, hotkeys, scrolling by script.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";
import { MODAL, bootstrap } from "./fixtures.mjs";
import { ANSWER, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene();

/** A dialog of the page's with a field, which is open, has the focus, and says when it is closed. */
const DIALOGS = {
  "a Bootstrap modal": () => bootstrap(stage.pages) + MODAL,
  "a focus-trap that closes on clicks outside": () => `
    <script src="${stage.pages.library("tabbable/dist/index.umd.js")}"></script>
    <script src="${stage.pages.library("focus-trap/dist/focus-trap.umd.js")}"></script>
    <div id="dialog"><input id="field"></div>
    <script>
      focusTrap.createFocusTrap("#dialog", { clickOutsideDeactivates: true, onDeactivate: () => (window.isClosed = true) }).activate();
    </script>`,
  "a focus-trap that lets nothing outside be clicked": () => `
    <script src="${stage.pages.library("tabbable/dist/index.umd.js")}"></script>
    <script src="${stage.pages.library("focus-trap/dist/focus-trap.umd.js")}"></script>
    <div id="dialog"><input id="field"></div>
    <script>focusTrap.createFocusTrap("#dialog", { escapeDeactivates: false }).activate();</script>`,
  "a trap that watches the focus leave its own content, and clicks in the capture phase": () => `
    <div id="dialog"><input id="field"></div>
    <script>
      const dialog = document.getElementById("dialog");
      const field = document.getElementById("field");
      const isOutside = (node) => node instanceof Node && !dialog.contains(node);
      document.addEventListener("focusout", ({ target, relatedTarget }) => {
        if (dialog.contains(target) && isOutside(relatedTarget)) field.focus();
      });
      document.addEventListener("focus", ({ target }) => isOutside(target) && target !== document && field.focus(), true);
      for (const name of ["pointerdown", "mousedown", "touchstart", "click", "touchend"]) {
        document.addEventListener(name, ({ target }) => isOutside(target) && (window.isClosed = true), true);
      }
      field.focus();
    </script>`,
};

for (const [name, html] of Object.entries(DIALOGS)) {
  for (const hasTouch of [false, true]) {
    stage.test(`${name} is open, and the visitor chats${hasTouch ? " by touch" : ""}`, async (come) => {
      const tenant = await stage.tenant();
      const visitor = await come({ hasTouch });
      const tab = await visitor.visit(stage.put((await tenant.embedCode()) + html()));
      const press = (part) => (hasTouch ? part.tap() : part.click());
      await eventually(async () => assert.equal(await tab.focused(), "field"));
      await press(tab.launcher);
      await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
      await press(tab.input);
      await tab.page.keyboard.type(QUESTION);
      assert.equal(await tab.input.inputValue(), QUESTION);
      assert.equal(await tab.page.locator("#field").inputValue(), "");
      await press(tab.send);
      await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
      assert.equal(await tab.page.evaluate(() => window.isClosed), undefined, "the page's dialog is as it was");
      await tab.page.keyboard.press("Escape");
      await eventually(async () => assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false"));
      assert.equal(await tab.page.evaluate(() => window.isClosed), undefined, "Escape was the chat's");
    });
  }
}

stage.test("what happens in the chat is not heard by the page, in either phase", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  await visitor.context.addInitScript(() => {
    window.heard = [];
    const names =
      "pointerdown mousedown click dblclick contextmenu wheel keydown keypress keyup beforeinput input change focusin focusout focus blur paste copy cut";
    for (const name of names.split(" ")) {
      for (const phase of [true, false]) {
        document.addEventListener(name, ({ target }) => target.localName === "chat-relay-widget" && window.heard.push(name), phase);
      }
    }
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.input.click();
  await tab.page.keyboard.type("Where is my ordr");
  await tab.page.keyboard.press("ArrowLeft");
  await tab.page.keyboard.type("e");
  await tab.page.keyboard.press("ControlOrMeta+a");
  await tab.page.keyboard.press("ControlOrMeta+c");
  await tab.page.keyboard.press("ControlOrMeta+v");
  assert.equal(await tab.input.inputValue(), "Where is my order");
  await tab.input.dblclick();
  await tab.page.mouse.wheel(0, 10);
  await tab.page.keyboard.press("End");
  await tab.page.keyboard.type("?");
  await tab.page.keyboard.press("Enter");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await tab.page.locator("#host").click();
  assert.deepEqual(await tab.page.evaluate(() => [...new Set(window.heard)]), []);
});

stage.test("pages that scroll by script leave the conversation to scroll by itself", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const smooth = `<script>
    for (const target of [window, document]) {
      for (const name of ["wheel", "touchmove"]) target.addEventListener(name, (event) => event.preventDefault(), { passive: false });
    }
  </script>`;
  const tab = await visitor.visit(stage.put(smooth + (await tenant.embedCode())));
  await answers(tab);
  for (let number = 1; number <= 20; number += 1) await tenant.say("agent", `Step ${number}`);
  await tab.widget.getByText("Step 20", { exact: true }).waitFor();
  const scroller = tab.widget.locator(".scroller");
  await scroller.hover();
  await tab.page.mouse.wheel(0, -5000);
  await eventually(async () => assert.equal(await scroller.evaluate((node) => node.scrollTop), 0));
});

stage.test("links in the chat open, with the page's own handlers of clicks and keys around", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  const handlers = `<script>
    for (const name of ["click", "keydown"]) document.addEventListener(name, (event) => event.preventDefault(), true);
  </script>`;
  const tab = await visitor.visit(stage.put(handlers + (await tenant.embedCode())));
  await answers(tab);
  await tenant.say("agent", `See ${stage.pages.origin()}/favicon.ico?help`);
  const opened = visitor.context.waitForEvent("page");
  await tab.widget.locator(".bubble a").click();
  await (await opened).close();
});
