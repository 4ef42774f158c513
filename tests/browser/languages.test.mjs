// The widget in every language it has, and where the words do not come.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { findsNothing } from "./axe.mjs";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, GREETING, QUESTION, scene } from "./scene.mjs";

const stage = scene();

const folder = new URL("../../relay-gateway/web/widget/locales/", import.meta.url);
const languages = Object.fromEntries(
  readdirSync(folder).map((file) => [file.replace(".json", ""), JSON.parse(readFileSync(new URL(file, folder), "utf8"))]),
);

for (const [language, texts] of Object.entries(languages)) {
  stage.test(`${language}: everything is said in it, and fits`, async (come) => {
    const tenant = await stage.tenant();
    const page = stage.put(await tenant.embedCode(), { lang: language, dir: language === "ar" ? "rtl" : "ltr" });
    const visitor = await come({ viewport: { width: 360, height: 740 }, locale: language });
    const tab = await visitor.visit(page);
    await tab.launcher.waitFor();
    await eventually(async () => assert.equal(await tab.launcher.getAttribute("aria-label"), texts.openChat));
    await tab.open();
    await eventually(async () => assert.deepEqual(await tab.bubbles(), [texts.defaultGreeting]));
    assert.equal(await tab.input.getAttribute("placeholder"), texts.defaultPlaceholder);
    assert.equal(await tab.widget.locator(".root").getAttribute("lang"), language);
    await tab.write(QUESTION);
    await eventually(async () => assert.equal((await tab.bubbles()).at(-2), `sent: ${QUESTION}`));
    await tab.widget.getByRole("button", { name: texts.menu, exact: true }).click();
    await tab.stands();
    const { x, width } = await tab.widget.locator(".menu").boundingBox();
    assert.ok(x >= 0 && x + width <= 360, `${x} + ${width}`);
    await picture(tab.page, `language-${language}`);
    await findsNothing(tab.page);
    assert.deepEqual(visitor.advice, []);
  });
}

stage.test("without the words the chat is English, and takes them when they come", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  let comes;
  const held = new Promise((resolve) => (comes = resolve));
  await visitor.context.route(/widget\/texts/, async (route) => {
    await held;
    await route.continue();
  });
  const tab = await visitor.visit(stage.put(await tenant.embedCode(), { lang: "de" }));
  await tab.open();
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING]));
  assert.equal(await tab.widget.locator(".root").getAttribute("lang"), "en");
  comes();
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [languages.de.defaultGreeting]));
  await tab.page.evaluate(() => (document.querySelector("script[data-public-key]").dataset.locale = "ja-JP"));
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [languages.ja.defaultGreeting]));

  await visitor.context.unroute(/widget\/texts/);
  await visitor.context.route(/widget\/texts/, (route) => route.fulfill({ status: 404, body: "{}" }));
  const other = await visitor.visit(stage.put(await tenant.embedCode(), { lang: "pl" }));
  await other.open();
  await other.write(QUESTION);
  await eventually(async () => assert.deepEqual(await other.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
});
