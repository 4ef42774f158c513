// Pages which the relay does not serve, or not any more: what visitors see, and what the page's developer is told.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";
import { ANSWER, scene } from "./scene.mjs";

const stage = scene();
const NOTICE = "Chat is not available on this page at the moment.";

async function chatting(come, tenant) {
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.write("Where is my order?");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  return { visitor, tab };
}

/** The panel is polite about it, keeps what was being written, and takes no more. */
async function isRefused(tab, halfThought) {
  await eventually(async () => assert.equal(await tab.notice.textContent(), NOTICE));
  assert.equal(await tab.notice.isVisible(), true);
  assert.equal(await tab.input.inputValue(), halfThought);
  assert.equal(await tab.send.isDisabled(), true);
  const before = await tab.bubbles();
  await tab.input.press("Enter");
  assert.deepEqual(await tab.bubbles(), before);
  assert.equal(await tab.input.inputValue(), halfThought);
}

stage.test("a page of another origin has no launcher, and one error says what to do, which helps", async (come) => {
  const tenant = await stage.tenant();
  const visitor = await come();
  // Long waits end when the test says so; each failure is told before it is decided whether to wait.
  await visitor.context.addInitScript(() => {
    const { setTimeout } = window;
    window.failures = 0;
    document.addEventListener("chat-relay:error", () => (window.failures += 1));
    window.waits = [];
    // The loader's patience with the chat's file is no such wait.
    window.setTimeout = (run, ms, ...rest) => (ms < 10_000 || ms === 20_000 ? setTimeout(run, ms, ...rest) : -window.waits.push(run));
  });
  const asked = [];
  visitor.context.on("request", (request) => {
    if (/widget-config.*locale=/.test(request.url()) && request.method() === "GET") asked.push(request);
  });
  const url = stage.put(await tenant.embedCode(), { host: "elsewhere" });
  const { page } = await visitor.visit(url);
  // The loader asks once, and the chat four times, should somebody be just adding the origin; then it leaves the page in peace.
  for (let times = 1; times <= 3; times += 1) {
    await eventually(async () => assert.equal(await page.evaluate(() => window.waits.length), 1));
    assert.equal(asked.length, times + 1);
    await page.evaluate(() => window.waits.pop()());
  }
  await eventually(async () => assert.equal(await page.evaluate(() => window.failures), 4));
  assert.equal(await page.evaluate(() => window.waits.length), 0);
  assert.equal(asked.length, 5);
  assert.equal(await page.locator("chat-relay-widget .launcher").count(), 0);
  const origin = stage.pages.origin("elsewhere");
  const [advice] = visitor.advice;
  assert.ok(advice.includes(`The origin ${origin} gets no readable answer`), advice);
  const command = `POST ${stage.relay.url}/api/v1/update/tenant?tenant_id=${tenant.id} {"allowed_origins":["${origin}", `;
  assert.ok(advice.includes(`Add ${origin} to the tenant's allowed_origins (${command}`), advice);
  assert.ok(advice.includes("or to the widget key's allowed_domains"), advice);
  assert.equal(visitor.advice.length, 1);

  await stage.relay.update(tenant, { allowed_origins: [origin, stage.pages.origin()] });
  const tab = await (await come()).visit(url);
  await tab.open();
  await tab.write("Where is my order?");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
});

stage.test("a rotated widget key closes the chat under an open page; the current embed code opens it", async (come) => {
  const tenant = await stage.tenant();
  const { visitor, tab } = await chatting(come, tenant);
  await tab.input.fill("half a thought");
  await stage.relay.rotateWidgetKey(tenant);
  await isRefused(tab, "half a thought");
  assert.equal((await tenant.messages()).length, 2);
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /invalid_widget_key: .*paste the current embed code into the page/);

  await tab.page.reload();
  await eventually(() => assert.equal(visitor.advice.length, 2));
  assert.match(visitor.advice[1], /invalid_widget_key: .*paste the current embed code into the page/);
  assert.equal(await tab.launcher.count(), 0);

  const after = await visitor.visit(stage.put(await tenant.embedCode()));
  await after.open();
  await after.write("Where is my order?");
  await eventually(async () => assert.equal((await after.bubbles()).at(-1), ANSWER));
  assert.equal(visitor.advice.length, 2);
});

stage.test("a suspended tenant's chat is closed under an open page, and goes on when it is reactivated", async (come) => {
  const tenant = await stage.tenant();
  const { visitor, tab } = await chatting(come, tenant);
  const before = await tab.bubbles();
  await tab.input.fill("half a thought");
  await stage.relay.suspend(tenant);
  await isRefused(tab, "half a thought");
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /tenant_suspended: .*ask the operator of the relay to reactivate it/);

  await stage.relay.reactivate(tenant);
  await tab.input.press("Escape");
  await tab.open();
  await eventually(async () => assert.equal(await tab.send.isDisabled(), false));
  assert.equal(await tab.notice.textContent(), "");
  await tab.input.press("Enter");
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [...before, "sent: half a thought"]));
  assert.deepEqual((await tenant.messages()).map(({ role }) => role), ["visitor", "bot", "visitor", "system"]);
});

stage.test("an origin that is taken away closes the chat under an open page", async (come) => {
  const tenant = await stage.tenant();
  const { visitor, tab } = await chatting(come, tenant);
  await stage.relay.update(tenant, { allowed_origins: ["https://only.example"] });
  await isRefused(tab, "");
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.ok(visitor.advice[0].includes(`origin_not_allowed: Add ${stage.pages.origin()} to`), visitor.advice[0]);
});

stage.test("an incomplete snippet says what it lacks", async (come) => {
  const visitor = await come();
  await visitor.visit(stage.put(`<script src="${stage.relay.url}/widget.js" async></script>`));
  await eventually(() => assert.equal(visitor.advice.length, 1));
  assert.match(visitor.advice[0], /needs src, data-tenant-id and data-public-key/);
});
