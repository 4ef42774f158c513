// How it looks: everything fits, and a picture of each state is kept in artefacts/ to be looked at.
import assert from "node:assert/strict";
import { eventually, picture } from "./browser.mjs";
import { ANSWER, scene } from "./scene.mjs";

const stage = scene();
const SMALL = { width: 360, height: 740 };
const LARGE = { width: 1440, height: 900 };

/** Nothing sticks out of the window, nothing scrolls sideways, the newest message is in sight; a picture is kept of it. */
async function fits(tab, name, ...parts) {
  for (const part of parts) await part.waitFor();
  await tab.stands();
  const { width, height } = tab.page.viewportSize();
  await eventually(async () => {
    for (const part of parts) {
      const box = await part.boundingBox();
      assert.ok(box !== null && box.width > 0 && box.height > 0, "it is there");
      const isInside = box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
      assert.ok(isInside, JSON.stringify(box));
    }
  });
  assert.equal(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  const scroller = tab.widget.locator(".scroller");
  if (parts.includes(tab.panel)) {
    await eventually(async () => {
      const hidden = await scroller.evaluate((node) => node.scrollHeight - node.clientHeight - node.scrollTop);
      assert.ok(hidden < 1, `${hidden} px of the newest message are out of sight`);
    });
  }
  // Before the first click there is none.
  const wide = await scroller.evaluateAll((nodes) => nodes.map((node) => node.scrollWidth - node.clientWidth));
  assert.ok(wide.every((pixels) => pixels === 0), "the conversation scrolls downwards only");
  await picture(tab.page, name);
}

async function conversation(tab, tenant, waiting = "Waiting for a person") {
  await tab.open();
  await tab.write("Where is my order?");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await tab.write("And how long does https://shop.example/a-very-long-address/that-does-not-want-to-break-anywhere take?");
  await eventually(async () => assert.equal(await tab.status.textContent(), waiting));
  await tenant.say("agent", "Good morning! It left our house yesterday.\nTwo days, usually.");
  await tenant.say("agent", "Anything else?");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "Anything else?"));
}

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [SMALL, LARGE]) {
    const name = `${colorScheme}-${viewport.width}`;
    stage.test(`launcher, greeting and conversation fit: ${name}`, async (come) => {
      const tenant = await stage.tenant({ tenant_name: "Northwind", branding_display_name: "Northwind" });
      const visitor = await come({ colorScheme, viewport });
      const tab = await visitor.visit(stage.put(await tenant.embedCode()));
      await tab.widget.locator(".greeting").waitFor();
      await fits(tab, `launcher-${name}`, tab.launcher, tab.widget.locator(".greeting"));

      await tab.open();
      await fits(tab, `welcome-${name}`, tab.panel);
      await tab.page.keyboard.press("Escape");
      await conversation(tab, tenant);
      await fits(tab, `agent-${name}`, tab.panel, tab.input, tab.send, tab.widget.locator(".close"));
      if (viewport === SMALL) {
        assert.deepEqual(await tab.panel.boundingBox(), { x: 0, y: 0, ...SMALL }, "a sheet over the whole screen");
      }

      await visitor.context.setOffline(true);
      await tab.trouble.waitFor();
      await tab.write("Are you there?");
      await fits(tab, `offline-${name}`, tab.panel, tab.trouble, tab.widget.locator(".sending"));
      await visitor.context.setOffline(false);
      await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "sent: Are you there?"));
      await stage.relay.suspend(tenant);
      await tab.notice.waitFor();
      await fits(tab, `unavailable-${name}`, tab.panel, tab.notice);
    });

    stage.test(`/demo fits: ${name}`, async (come) => {
      const tenant = await stage.relay.provision([stage.relay.url], { tenant_name: "Demo Boutique" });
      await tenant.ingest("Orders", ANSWER);
      const tab = await (await come({ colorScheme, viewport })).visit(`${stage.relay.url}/demo`);
      await fits(tab, `demo-${name}`, tab.launcher);
      await conversation(tab, tenant);
      await fits(tab, `demo-open-${name}`, tab.panel);
    });
  }
}

stage.test("what is too long is said to be, before it is sent and when the relay refuses it", async (come) => {
  const tenant = await stage.tenant({ branding_display_name: "Northwind" });
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await tab.open();
  await tab.write("Where is my order?");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  await tab.input.fill("very ".repeat(800) + "long");
  assert.equal(await tab.send.isDisabled(), true);
  assert.equal(await tab.widget.locator(".counter").textContent(), "Too long by 4");
  await fits(tab, "too-long", tab.panel, tab.widget.locator(".counter"));

  // No widget sends it, but another version of one may have kept it.
  await tab.page.evaluate(() => {
    const session = Object.keys(localStorage).find((key) => key.endsWith(":session"));
    const entry = { content: "very ".repeat(1600) + "long", createdAt: new Date().toISOString(), failure: null };
    localStorage.setItem(session.replace(/session$/, `out:${crypto.randomUUID()}`), JSON.stringify(entry));
  });
  let tries = 0;
  tab.page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => (tries += payload.includes("very long") ? 1 : 0)));
  await tab.page.reload();
  await tab.open();
  const failed = tab.widget.locator(".row.failed");
  await failed.waitFor();
  await fits(tab, "refused", tab.panel, failed.getByText("Not sent"));
  assert.equal(tries, 1);
  await failed.getByRole("button", { name: "Retry" }).click();
  await eventually(() => assert.equal(tries, 2));
  await failed.waitFor();
  await failed.getByRole("button", { name: "Delete" }).click();
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  assert.equal((await tenant.messages()).length, 2);
});

stage.test("from right to left", async (come) => {
  const tenant = await stage.tenant({ branding_display_name: "Northwind", branding_primary_color: "#0F766E" });
  const tab = await (await come()).visit(stage.put(await tenant.embedCode(), { lang: "ar", dir: "rtl" }));
  await conversation(tab, tenant, "في انتظار أحد الموظفين");
  await fits(tab, "rtl-1440", tab.panel);
  await tab.page.setViewportSize(SMALL);
  await fits(tab, "rtl-360", tab.panel);
});
