// Files that visitors send: chosen, pasted or dropped; seen by everybody, and opened as nothing that a browser would run.
import assert from "node:assert/strict";
import { findsNothing } from "./axe.mjs";
import { eventually, picture } from "./browser.mjs";
import { PNG } from "./fixtures.mjs";
import { answers, scene } from "./scene.mjs";

const stage = scene();

const CAT = { name: "a cat.png", mimeType: "image/png", buffer: PNG };
const BILL = { name: "bill.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.7 a bill") };

async function chatting(come, options) {
  const tenant = await stage.tenant();
  const visitor = await come(options);
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  const inHand = tab.widget.locator(".in-hand li");
  const chooser = tab.widget.locator("input[type=file]");
  return { tenant, visitor, tab, inHand, chooser };
}

/** The message with this text, as soon as the chat backend has kept it: the widget shows it earlier. */
function kept(tenant, text) {
  return eventually(async () => {
    const sent = (await tenant.messages()).find(({ content }) => content === text);
    assert.ok(sent, `${text}: not kept yet`);
    return sent;
  });
}

/** The names of the files of the newest message, as they are read out. */
const namesIn = (tab) => tab.widget.locator(".row").filter({ has: tab.page.locator(".attached") }).last().locator(".attached a");

stage.test("a visitor sends a picture and a document, and everybody sees them", async (come) => {
  const { tenant, visitor, tab, inHand, chooser } = await chatting(come);
  await chooser.setInputFiles([CAT, BILL]);
  await eventually(async () => assert.deepEqual(await inHand.locator(".file-name").allTextContents(), ["a cat.png", "bill.pdf"]));
  await eventually(async () => assert.equal(await tab.widget.locator("progress:visible").count(), 0));
  await picture(tab.page, "files-in-hand");
  await tab.write("Here they are");
  await eventually(async () => assert.equal(await inHand.count(), 0));
  await eventually(async () => assert.equal(await namesIn(tab).count(), 2));
  const shown = namesIn(tab).locator("img");
  await eventually(async () => assert.equal(await shown.evaluate((img) => img.complete && img.naturalWidth), 1));
  assert.equal(await shown.getAttribute("alt"), "a cat.png");
  const sent = await kept(tenant, "Here they are");
  assert.deepEqual(
    sent.attachments.map(({ type, mime, size, name }) => [type, mime, size, name]),
    [["image", "image/png", PNG.length, "a cat.png"], ["file", "application/pdf", BILL.buffer.length, "bill.pdf"]],
  );
  await picture(tab.page, "files-sent");
  await findsNothing(tab.page);
  // What browsers are told of each: one is shown, the other is saved, and neither runs.
  for (const [{ url }, how] of [[sent.attachments[0], "inline"], [sent.attachments[1], "attachment"]]) {
    const answer = await tab.page.request.get(url);
    assert.match(answer.headers()["content-disposition"], new RegExp(`^${how};`));
    assert.equal(answer.headers()["content-security-policy"], "sandbox; default-src 'none'");
  }
  const other = await visitor.visit(tab.page.url());
  await other.open();
  await eventually(async () => assert.equal(await namesIn(other).count(), 2));
  await stage.relay.suspend(tenant);
  assert.equal((await tab.page.request.get(sent.attachments[0].url)).status(), 403);
});

stage.test("a picture alone is a message, pasted or dropped", async (come) => {
  const { tenant, tab, inHand } = await chatting(come);
  const give = (kind, selector) =>
    tab.page.evaluate(
      ([kind, selector, bytes]) => {
        const file = new File([new Uint8Array(bytes)], `${kind}.png`, { type: "image/png" });
        const data = new DataTransfer();
        data.items.add(file);
        const target = document.querySelector("chat-relay-widget").shadowRoot.querySelector(selector);
        const init = { bubbles: true, cancelable: true, composed: true };
        const event = kind === "paste" ? new ClipboardEvent(kind, { ...init, clipboardData: data }) : new DragEvent(kind, { ...init, dataTransfer: data });
        return target.dispatchEvent(event);
      },
      [kind, selector, [...PNG]],
    );
  for (const [kind, selector] of [["paste", "textarea"], ["drop", ".panel"]]) {
    assert.equal(await give(kind, selector), false, "the page does not see it");
    await eventually(async () => assert.equal(await inHand.count(), 1));
    await eventually(async () => assert.equal(await tab.widget.locator(".composer .send").isEnabled(), true));
    await tab.widget.locator(".composer .send").click();
    await eventually(async () => assert.ok((await tenant.messages()).some(({ content }) => content === `${kind}.png`)));
    await eventually(async () => assert.equal(await namesIn(tab).locator("img").getAttribute("alt"), `${kind}.png`));
  }
  // The message says nothing but what the file is called: no bubble repeats that.
  assert.ok(!(await tab.widget.locator(".log .bubble").allTextContents()).includes("drop.png"));
});

stage.test("a file that cannot be sent says why, and stands in nobody's way", async (come) => {
  const { tenant, tab, inHand, chooser } = await chatting(come);
  const page = { name: "page.html", mimeType: "text/html", buffer: Buffer.from("<script>") };
  const huge = { name: "huge.png", mimeType: "image/png", buffer: Buffer.alloc(11 * 1024 * 1024) };
  await chooser.setInputFiles([page, huge]);
  const states = inHand.locator(".file-state");
  await eventually(async () => assert.deepEqual(await states.allTextContents(), ["Files of this type cannot be sent", "Too large to send"]));
  await picture(tab.page, "files-refused");
  await tab.page.route(/upload\/attachment/, (route) => route.abort());
  await chooser.setInputFiles(CAT);
  await eventually(async () => assert.equal(await states.last().textContent(), "Not sent"));
  await tab.page.unroute(/upload\/attachment/);
  await inHand.last().getByRole("button", { name: "Retry" }).click();
  await eventually(async () => assert.equal(await states.last().textContent(), "Ready"));
  await inHand.first().getByRole("button", { name: "Remove page.html" }).click();
  await eventually(async () => assert.equal(await inHand.count(), 2));
  await eventually(async () => assert.equal(await tab.widget.locator("progress:visible").count(), 0));
  await tab.write("Only the cat");
  await eventually(async () => assert.equal(await namesIn(tab).count(), 1));
  const sent = await kept(tenant, "Only the cat");
  assert.deepEqual(sent.attachments.map(({ name }) => name), ["a cat.png"]);
});

stage.test("ten files at once arrive, wait on the next page of the visit, and go with one message", async (come) => {
  const { tenant, visitor, tab, inHand, chooser } = await chatting(come);
  const names = Array.from({ length: 11 }, (_, number) => `${number}.png`);
  await chooser.setInputFiles(names.map((name) => ({ ...CAT, name })));
  const states = inHand.locator(".file-state");
  // One more than a message may have is not taken.
  await eventually(async () => assert.deepEqual(await states.allTextContents(), Array(10).fill("Ready")));
  await tab.page.goto(stage.put(await tenant.embedCode()));
  await tab.open();
  await eventually(async () => assert.deepEqual(await states.allTextContents(), Array(10).fill("Ready")));
  await tab.write("All of them");
  await eventually(async () => assert.equal(await namesIn(tab).count(), 10));
  const sent = await kept(tenant, "All of them");
  assert.deepEqual(sent.attachments.map(({ name }) => name), names.slice(0, 10));
  // They went, and are no other tab's and no later page's.
  await tab.page.reload();
  await tab.open();
  await eventually(async () => assert.equal(await namesIn(tab).count(), 10));
  assert.equal(await inHand.count(), 0);
  const other = await visitor.visit(tab.page.url());
  await other.open();
  assert.equal(await other.widget.locator(".in-hand li").count(), 0);
});

stage.test("a message goes as soon as its file has arrived", async (come) => {
  const { tenant, tab, inHand, chooser } = await chatting(come);
  let pass;
  const held = new Promise((resolve) => (pass = resolve));
  await tab.page.route(/upload\/attachment/, async (route) => {
    await held;
    await route.continue();
  });
  await chooser.setInputFiles(CAT);
  await tab.write("Look at her");
  assert.equal(await tab.input.inputValue(), "Look at her");
  pass();
  await eventually(async () => assert.equal(await inHand.count(), 0));
  await eventually(async () => assert.equal(await namesIn(tab).count(), 1));
  assert.equal(await tab.input.inputValue(), "");
  const sent = await kept(tenant, "Look at her");
  assert.equal(sent.attachments.length, 1);
});

stage.test("where the tenant takes no files, none can be chosen; a reset forgets those in hand", async (come) => {
  const { tab, inHand, chooser } = await chatting(come);
  await chooser.setInputFiles(CAT);
  await eventually(async () => assert.equal(await inHand.count(), 1));
  await tab.page.evaluate(() => window.ChatRelay.reset());
  await eventually(async () => assert.equal(await inHand.count(), 0));

  const without = await stage.tenant({ file_upload_enabled: false });
  const stranger = await come();
  const other = await stranger.visit(stage.put(await without.embedCode()));
  await other.open();
  assert.equal(await other.widget.locator(".attach").isVisible(), false);
});

stage.test("files fit a phone, in the dark and from right to left", async (come) => {
  const { tab, chooser } = await chatting(come, { viewport: { width: 360, height: 640 }, colorScheme: "dark" });
  await tab.page.evaluate(() => (document.documentElement.dir = "rtl"));
  await chooser.setInputFiles([CAT, { ...BILL, name: `${"a very long name of a bill ".repeat(6)}.pdf` }]);
  await eventually(async () => assert.equal(await tab.widget.locator("progress:visible").count(), 0));
  await tab.write("On the phone");
  await eventually(async () => assert.equal(await namesIn(tab).count(), 2));
  const overflow = await tab.widget.locator(".scroller").evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth);
  assert.equal(overflow, 0);
  await picture(tab.page, "files-phone-dark");
});
