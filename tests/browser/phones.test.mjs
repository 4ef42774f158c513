// Where fingers type on the screen, and where the screen is low.
import assert from "node:assert/strict";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, QUESTION, scene } from "./scene.mjs";

const stage = scene();
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

stage.test("opening raises no keyboard, Enter makes a line, and the button sends", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come(PHONE)).visit(stage.put(await tenant.embedCode()));
  await tab.launcher.tap();
  await tab.panel.and(tab.widget.locator("[data-open=true]")).waitFor();
  assert.equal(await tab.focused(), "panel", "the focus is in the dialog, and in no field");
  await tab.input.tap();
  await tab.page.keyboard.type("Where is");
  await tab.page.keyboard.press("Enter");
  await tab.page.keyboard.type("my order?");
  assert.equal(await tab.input.inputValue(), "Where is\nmy order?");
  assert.equal(await tab.input.getAttribute("enterkeyhint"), "enter");
  await tab.send.tap();
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
});

stage.test("at 640 x 170, 80 px of messages are in sight, with the field and the button to close", async (come) => {
  const tenant = await stage.tenant({ branding_display_name: "Northwind" });
  const tab = await (await come({ ...PHONE, viewport: { width: 640, height: 170 } })).visit(stage.put(await tenant.embedCode()));
  await tab.launcher.tap();
  await tab.input.fill(QUESTION);
  await tab.send.tap();
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await eventually(async () => {
    const { height } = await tab.widget.locator(".messages").boundingBox();
    assert.ok(height >= 80, `${height} px`);
  });
  await tab.stands();
  await picture(tab.page, "phone-170");
  for (const part of [tab.input, tab.send, tab.widget.locator(".close")]) {
    const { y, height } = await part.boundingBox();
    assert.ok(y >= 0 && y + height <= 170, `${y} + ${height}`);
  }
});

stage.test("the greeting that appears a moment later shifts nothing", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come(PHONE);
  await visitor.context.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map(({ value }) => value))).observe({
      type: "layout-shift",
      buffered: true,
    });
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.widget.locator(".greeting").waitFor();
  await tab.stands();
  assert.deepEqual(await tab.page.evaluate(() => window.shifts), []);
});
