// For everybody: what axe finds, the keyboard alone, other languages and directions.
import assert from "node:assert/strict";
import { findsNothing } from "./axe.mjs";
import { eventually } from "./browser.mjs";
import { ANSWER, scene } from "./scene.mjs";

const stage = scene();
const SMALL = { width: 360, height: 740 };
const LARGE = { width: 1440, height: 900 };

/** The default colour takes white text, a bright brand's dark one. */
const LOOKS = [
  { colorScheme: "light", viewport: SMALL, brand: "#F59E0B" },
  { colorScheme: "light", viewport: LARGE },
  { colorScheme: "dark", viewport: SMALL },
  { colorScheme: "dark", viewport: LARGE, brand: "#F59E0B" },
];

/** Nothing is found in the page; `rules` are those that must have found something to look at in the widget. */
async function isAccessible(page, ...rules) {
  const passes = await findsNothing(page);
  const looked = passes.filter(({ nodes }) => nodes.some(({ target }) => target.flat().includes("chat-relay-widget")));
  for (const rule of rules) assert.ok(looked.some(({ id }) => id === rule), `${rule} looked into the widget`);
}

for (const { colorScheme, viewport, brand = null } of LOOKS) {
  stage.test(`axe finds nothing in launcher and panel, ${colorScheme}, ${viewport.width} wide`, async (come) => {
    const tenant = await stage.tenant({ branding_primary_color: brand });
    await tenant.ingest("Returns", "Returns are free for thirty days, see https://shop.example/returns.");
    const visitor = await come({ colorScheme, viewport });
    const tab = await visitor.visit(stage.put(await tenant.embedCode()));
    await tab.widget.locator(".greeting").waitFor();
    await tab.stands();
    await isAccessible(tab.page, "color-contrast", "button-name", "target-size");

    await tab.open();
    await tab.write("Are returns free?");
    await eventually(async () => assert.match((await tab.bubbles()).at(-1), /thirty days/));
    await tenant.say("agent", "Yes: https://shop.example/returns");
    await tab.write("Thank you");
    await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "sent: Thank you"));
    await tab.input.fill("y".repeat(3950));
    await tab.widget.getByText("Characters left: 50").waitFor();
    await tab.stands();
    await isAccessible(tab.page, "color-contrast", "button-name", "target-size", "link-name", "label");

    await visitor.context.setOffline(true);
    await tab.trouble.waitFor();
    await tab.write("Not yet");
    await tab.stands();
    await isAccessible(tab.page, "color-contrast");
    await visitor.context.setOffline(false);
    await stage.relay.suspend(tenant);
    await tab.notice.waitFor();
    await tab.stands();
    await isAccessible(tab.page, "color-contrast");
  });
}

for (const colorScheme of ["light", "dark"]) {
  stage.test(`axe finds nothing on /demo, ${colorScheme}`, async (come) => {
    const tenant = await stage.relay.provision([stage.relay.url]);
    await tenant.ingest("Orders", ANSWER);
    const visitor = await come({ colorScheme });
    const tab = await visitor.visit(`${stage.relay.url}/demo`);
    await tab.open();
    await tab.write("Where is my order?");
    await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
    await tab.stands();
    for (const viewport of [SMALL, LARGE]) {
      await tab.page.setViewportSize(viewport);
      await tab.stands();
      await isAccessible(tab.page, "color-contrast");
    }
  });
}

stage.test("the keyboard alone opens, writes, closes, and finds its way back", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await tab.launcher.waitFor();
  await tab.page.evaluate(() => {
    window.shortcuts = 0;
    document.addEventListener("keydown", ({ key }) => {
      if (key.length === 1) window.shortcuts += 1;
    });
  });
  const { keyboard } = tab.page;
  const tabTo = async (name) => {
    for (let presses = 0; presses < 10 && (await tab.focused()) !== name; presses += 1) await keyboard.press("Tab");
    assert.equal(await tab.focused(), name);
  };
  await tabTo("host");
  await tabTo("launcher");
  await keyboard.press("Enter");
  await eventually(async () => assert.equal(await tab.focused(), "input"));
  await keyboard.type("Where is");
  await keyboard.press("Shift+Enter");
  await keyboard.type("my order?");
  await keyboard.press("Enter");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  assert.equal((await tenant.messages())[0].content, "Where is\nmy order?");
  assert.equal(await tab.page.evaluate(() => window.shortcuts), 0, "the page's shortcuts do not hear it");
  assert.equal(await tab.focused(), "input");

  await keyboard.press("Escape");
  await eventually(async () => assert.equal(await tab.focused(), "launcher"));
  assert.equal(await tab.launcher.getAttribute("aria-expanded"), "false");
  await keyboard.press("Shift+Tab");
  assert.notEqual(await tab.focused(), "input", "a closed panel is not in the way");

  await tab.page.locator("#host").focus();
  await tab.page.evaluate(() => window.ChatRelay.open());
  await eventually(async () => assert.equal(await tab.focused(), "input"));
  await keyboard.press("Escape");
  await eventually(async () => assert.equal(await tab.focused(), "host"));
});

stage.test("a focus whose button goes stays in the chat", async (come) => {
  const tenant = await stage.tenant();
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.write("Where is my order?");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await tab.page.evaluate(() => {
    const session = Object.keys(localStorage).find((key) => key.endsWith(":session"));
    const keep = (content) => {
      const entry = { content, createdAt: new Date().toISOString(), failure: "unanswered" };
      localStorage.setItem(session.replace(/session$/, `out:${crypto.randomUUID()}`), JSON.stringify(entry));
    };
    keep("try again");
    keep("\ud83d forget it");
  });
  await tab.page.reload();
  await tab.open();
  const { keyboard } = tab.page;
  const press = async (row, name) => {
    await tab.widget.locator(".row.failed", { hasText: row }).getByRole("button", { name }).focus();
    await keyboard.press("Enter");
    assert.equal(await tab.focused(), "input");
  };
  await press("\ufffd forget it", "Delete");
  await press("try again", "Retry");
  await eventually(async () => assert.ok((await tab.bubbles()).includes("sent: try again")));

  for (let number = 1; number <= 20; number += 1) await tenant.say("agent", `Step ${number}`);
  await tab.widget.getByText("Step 20", { exact: true }).waitFor();
  await tab.widget.locator(".scroller").focus();
  await keyboard.press("Home");
  await eventually(async () => assert.equal(await tab.widget.locator(".scroller").evaluate((node) => node.scrollTop), 0));
  await tenant.say("agent", "Step 21");
  const pill = tab.widget.getByRole("button", { name: "New messages" });
  await pill.waitFor();
  await keyboard.press("Tab");
  assert.equal(await tab.focused(), "pill");
  await keyboard.press("Enter");
  await pill.waitFor({ state: "hidden" });
  assert.equal(await tab.focused(), "scroller");
});

stage.test("over a small screen the focus stays in the sheet", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come({ viewport: SMALL, hasTouch: true, isMobile: true });
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  assert.equal(await tab.panel.getAttribute("aria-modal"), "true");
  assert.equal(await tab.focused(), "panel", "it begins in no field: that would raise the keyboard");
  await tab.page.keyboard.press("Tab");
  const seen = new Set();
  for (let presses = 0; presses < 8; presses += 1) {
    seen.add(await tab.focused());
    await tab.page.keyboard.press("Tab");
  }
  assert.deepEqual([...seen].sort(), ["attach", "close", "input", "more", "scroller"]);
});

stage.test("a French page has a French chat, and a French answer", async (come) => {
  const tenant = await stage.tenant();
  await tenant.ingest("Livraison", "La livraison est gratuite dès cinquante euros.", "fr");
  const tab = await (await come()).visit(stage.put(await tenant.embedCode(), { lang: "fr-CA" }));
  await tab.launcher.waitFor();
  assert.equal(await tab.launcher.getAttribute("aria-label"), "Ouvrir la discussion");
  await tab.open();
  assert.equal(await tab.input.getAttribute("placeholder"), "Écrivez un message");
  assert.deepEqual(await tab.bubbles(), ["Bonjour ! Comment pouvons-nous vous aider ?"]);
  assert.equal(await tab.widget.locator(".root").getAttribute("lang"), "fr");
  await tab.write("La livraison est-elle gratuite ?");
  await eventually(async () => assert.match((await tab.bubbles()).at(-1), /dès cinquante euros/));
  assert.equal((await tenant.conversation()).locale, "fr-CA");
  await tab.page.locator("script[data-public-key]").evaluate((script) => script.setAttribute("data-locale", "en"));
  await eventually(async () => {
    assert.equal(await tab.input.getAttribute("placeholder"), "Write a message");
    assert.equal((await tab.bubbles())[0], "Hello! How can we help?");
  });
});

for (const [name, lang, words] of [
  ["an Arabic", "ar", "ar"],
  ["a Hebrew", "he", "en"],
]) {
  stage.test(`${name} page has its chat from right to left`, async (come) => {
    const tenant = await stage.tenant();
    const tab = await (await come()).visit(stage.put(await tenant.embedCode(), { lang, dir: "rtl" }));
    await tab.open();
    await tab.write("Where is my order?");
    await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
    const root = tab.widget.locator(".root");
    assert.equal(await root.getAttribute("dir"), "rtl");
    assert.equal(await root.getAttribute("lang"), words, "words are read aloud in their own language");
    const left = async (selector) => (await tab.widget.locator(selector).last().boundingBox()).x;
    assert.ok((await left(".close")) < (await left(".header .avatar")), "the header is mirrored");
    assert.ok((await left(".log .own .bubble")) < (await left(".log .theirs .bubble")), "own messages are on the left");
    assert.ok((await left(".send")) < (await left("textarea")) + 10, "the button is on the left");
  });
}
