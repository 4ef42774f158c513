// Operators answer visitors: the whole story in three pages, a small screen, the keyboard alone, and what goes wrong.
import assert from "node:assert/strict";
import { after } from "node:test";
import { eventually, picture } from "./browser.mjs";
import { Adapter } from "./adapters.mjs";
import { findsNothing } from "./axe.mjs";
import { Operator } from "./inbox.mjs";
import { ANSWER, scene } from "./scene.mjs";

const stage = scene();
/** Conversations of the test that scrolls. */
const CROWD = 10_000;
const SMALL = { width: 360, height: 740 };

/** A visitor on a page of the tenant's, with the chat open. */
async function visit(come, tenant) {
  const tab = await (await come()).visit(stage.put(await tenant.embedCode()));
  await tab.open();
  return tab;
}

/** A tenant whose backend is a receiver of the published client's, and that receiver. */
async function tenantWithReceiver(kind) {
  const receiver = await Adapter.start(kind);
  after(() => receiver.stop());
  const tenant = await stage.tenant({ callback_url_base: receiver.url });
  receiver.become(tenant);
  return { tenant, receiver };
}

stage.test("a visitor asks for a person, two operators see it, one answers and the other ends it", async (come) => {
  const { tenant, receiver } = await tenantWithReceiver("fastapi");
  const [ada, ben] = [await Operator.hire(stage.relay, tenant, "Ada"), await Operator.hire(stage.relay, tenant, "Ben")];
  const [adas, bens] = [await ada.sitDown(await come()), await ben.sitDown(await come())];
  await adas.page.getByText("Nobody is waiting.").waitFor();
  await picture(adas.page, "inbox-empty");

  const visitor = await visit(come, tenant);
  await visitor.write("Where is my order?");
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), ANSWER));
  await visitor.widget.getByRole("button", { name: "No", exact: true }).click();
  await visitor.widget.getByText("Thank you for telling us.").waitFor();
  await visitor.write("Can I talk to a human, please?");
  for (const inbox of [adas, bens]) {
    await inbox.items.waitFor();
    await eventually(async () => assert.equal(await inbox.count("Waiting"), 1));
  }
  assert.match(await adas.page.title(), /^\(1\)/);

  for (const inbox of [adas, bens]) await inbox.open();
  await adas.page.getByText("The visitor says that it did not help").waitFor();
  await adas.status(/Also here: Ben/);
  await adas.button("Claim").click();
  await adas.status(/^Ada/);
  await bens.status(/^Ada/);
  for (const inbox of [adas, bens]) await eventually(async () => assert.equal(await inbox.count("Waiting"), 0));
  await eventually(async () => assert.equal(await visitor.status.textContent(), "You are talking to Ada"));

  await visitor.input.pressSequentially("It is");
  await adas.page.getByText("The visitor is writing").waitFor();
  await visitor.write("It is number 7");
  await adas.says("visitor: It is number 7");
  await adas.editor.pressSequentially("Good");
  await bens.page.getByText("Ada is already writing").waitFor();
  await adas.write("Good morning! Number 7 left yesterday.");
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), "Good morning! Number 7 left yesterday."));
  await bens.says("agent: Good morning! Number 7 left yesterday.");
  await adas.log.getByText("Seen", { exact: true }).waitFor();
  await picture(adas.page, "inbox-conversation");

  await bens.page.getByRole("tab", { name: "Note" }).click();
  await bens.write("She called this morning, too");
  await adas.says("agent internal: She called this morning, too");
  assert.ok(!(await visitor.bubbles()).some((text) => text.includes("She called")), "visitors never see notes");

  await adas.button("Assign to…").click();
  await adas.page.getByRole("button", { name: "Ben", exact: true }).click();
  await adas.status(/^Ben/);
  await bens.queue("Mine").click();
  await bens.open();
  await bens.page.getByRole("tab", { name: "Reply" }).click();
  await bens.write("Ben here: all done.");
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), "Ben here: all done."));
  await bens.button("Resolve").click();
  await bens.status(/^Resolved/);
  await adas.queue("Resolved").click();
  await adas.items.filter({ hasText: "Ben here" }).waitFor();

  await visitor.write("Where is my order?");
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), ANSWER));
  await bens.status(/^Bot/);
  const tickets = (await tenant.signed("GET", "fetch/tickets")).items;
  assert.deepEqual(tickets.map(({ status }) => status), ["reopened"], "the same ticket is back");

  // The tenant's backend has heard of each step, in order, and who took it.
  const { id: conversation } = await tenant.conversation();
  const expected = [
    "conversation_started",
    "message_received",
    "message_received",
    "ticket_created",
    "escalation_triggered",
    "ticket_assigned",
    "agent_assigned Ada ASSIGNED",
    "message_received",
    "ticket_assigned",
    "agent_assigned Ben ASSIGNED",
    "ticket_resolved",
    "agent_resolved Ben RESOLVED",
    "message_received",
  ];
  const names = new Map([ada, ben].map(({ id, name }) => [id, name]));
  await eventually(() => {
    const heard = receiver.events.map(({ event_type, agent_user_id, extra }) =>
      [event_type, names.get(agent_user_id), event_type.startsWith("agent_") ? extra.status : undefined].filter(Boolean).join(" "),
    );
    assert.deepEqual(heard, expected);
  });
  for (const event of receiver.events) assert.equal(event.conversation_id, conversation, event.event_type);
  const resolved = receiver.events.find(({ event_type }) => event_type === "agent_resolved");
  assert.equal(resolved.extra.operator_display_name, "Ben");
});

stage.test("the same story on two phones, from the first word to the rating", async (come) => {
  const { tenant, receiver } = await tenantWithReceiver("django");
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await (await come({ viewport: SMALL, hasTouch: true })).visit(stage.put(await tenant.embedCode()));
  await visitor.open();
  await visitor.write("Can I talk to a human, please?");
  const inbox = await ada.sitDown(await come({ viewport: SMALL, hasTouch: true }));
  await inbox.items.waitFor();
  await inbox.open();
  await inbox.button("Claim").click();
  await inbox.status(/^Ada/);
  await inbox.write("Good morning! Number 7 left yesterday.");
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), "Good morning! Number 7 left yesterday."));
  assert.equal(await visitor.status.textContent(), "You are talking to Ada");
  await visitor.write("Thank you!");
  await inbox.says("visitor: Thank you!");
  await inbox.button("Resolve").click();
  await inbox.status(/^Resolved/);
  await visitor.widget.getByRole("button", { name: "5 of 5" }).click();
  await visitor.widget.getByText("Thank you for your rating.").waitFor();
  await inbox.button("Details").click();
  await inbox.details.getByRole("img", { name: "5 of 5" }).waitFor();
  await picture(inbox.page, "inbox-phone-rating");
  await picture(visitor.page, "widget-phone-rating");
  const expected = [
    "conversation_started",
    "message_received",
    "ticket_created",
    "escalation_triggered",
    "ticket_assigned",
    "agent_assigned",
    "message_received",
    "ticket_resolved",
    "agent_resolved",
  ];
  await eventually(() => assert.deepEqual(receiver.events.map(({ event_type }) => event_type), expected));
});

stage.test("saved replies, a text that survives a reload, and a message that a cut and a reload interrupt", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await visit(come, tenant);
  await visitor.write("I want to talk to a human");
  const person = await come();
  const inbox = await ada.sitDown(person);
  const saved = { shortcut: "hello", content: "Hello {{visitor_name}}, I am {{operator_name}}." };
  await stage.relay.call("POST", "operator/canned-replies", { Authorization: `Bearer ${await ada.token()}` }, saved);
  await inbox.page.reload();
  await inbox.open();
  await inbox.button("Claim").click();
  await inbox.editor.fill("/he");
  await inbox.page.getByRole("listbox").getByText("/hello").waitFor();
  await inbox.editor.press("Enter");
  assert.match(await inbox.editor.inputValue(), /^Hello Visitor \w{4}, I am Ada\.$/);

  await inbox.page.reload();
  await inbox.queue("Mine").click();
  await inbox.open();
  await eventually(async () => assert.match(await inbox.editor.inputValue(), /I am Ada/));

  await person.context.setOffline(true);
  await inbox.page.getByText("No connection").waitFor();
  await picture(inbox.page, "inbox-offline");
  await inbox.editor.press("Enter");
  await inbox.log.getByText("Not sent").waitFor();
  await person.context.setOffline(false);
  await inbox.page.reload();
  await eventually(async () => assert.match((await visitor.bubbles()).at(-1), /I am Ada/));
  await eventually(async () => assert.equal(await inbox.log.locator(".pending").count(), 0));
  const sent = (await tenant.messages()).filter(({ role }) => role === "agent");
  assert.equal(sent.length, 1);
});

stage.test("the token leaves the URL, lasts as long as the tab, and ends when the relay says so", async (come) => {
  const tenant = await stage.tenant();
  const [ada, ben] = [await Operator.hire(stage.relay, tenant, "Ada"), await Operator.hire(stage.relay, tenant, "Ben")];
  const inbox = await ada.sitDown(await come());
  const { page } = inbox;
  assert.equal(page.url(), `${stage.relay.url}/inbox`);
  await page.getByText("Ada", { exact: true }).waitFor();
  await page.reload();
  await page.getByText("Ada", { exact: true }).waitFor();

  // Another operator's link asks first. In a tab with an inbox it changes the fragment alone.
  await page.goto(await ben.link());
  await page.getByText("This tab is Ada's inbox").waitFor();
  assert.equal(page.url(), `${stage.relay.url}/inbox`);
  await findsNothing(page);
  await picture(page, "inbox-replace");
  await page.getByRole("button", { name: "Keep" }).click();
  await page.getByText("Ada", { exact: true }).waitFor();

  // A link that was cut short changes nothing.
  await page.goto(`${stage.relay.url}/inbox#token=eyJ`);
  await eventually(() => assert.equal(page.url(), `${stage.relay.url}/inbox`));
  await page.getByText("Ada", { exact: true }).waitFor();

  await ada.revoke();
  await page.getByRole("alert").getByText("Your access has ended").waitFor();
  await page.reload();
  await page.getByText("Open the inbox from your application: its link").waitFor();
  await findsNothing(page);
  await page.goto(await ben.link());
  await page.getByText("Ben", { exact: true }).waitFor();
  await page.goto("about:blank");
  await page.goto(await ben.link().then((link) => link.replace("/inbox#", "/inbox/#")));
  await page.getByText("Ben", { exact: true }).waitFor();
  assert.equal(page.url(), `${stage.relay.url}/inbox`, "a slash at the end loses no token");

  await stage.relay.suspend(tenant);
  await page.getByRole("alert").getByText("This account is suspended").waitFor();
});

stage.test("a message that is refused stays until it is discarded, and no mistyped shortcut is sent", async (come) => {
  const tenant = await stage.tenant();
  const [ada, ben] = [await Operator.hire(stage.relay, tenant, "Ada"), await Operator.hire(stage.relay, tenant, "Ben")];
  const visitor = await visit(come, tenant);
  await visitor.write("I want to talk to a human");
  const inbox = await ada.sitDown(await come());
  await inbox.open();
  await inbox.button("Claim").click();
  await inbox.write("/helo");
  await inbox.page.getByText("No saved reply starts with that.").waitFor();
  assert.equal(await inbox.editor.inputValue(), "/helo");
  await inbox.editor.fill("");

  // Between the key and the call, the conversation goes to Ben.
  const { id } = await tenant.conversation();
  await inbox.page.route("**/add/message*", async (route) => {
    await stage.relay.call(
      "POST", `operator/assign/conversation?conversation_id=${id}`, { Authorization: `Bearer ${await ada.token()}` },
      { operator_id: ben.id },
    );
    await route.continue();
  });
  await inbox.write("Hello");
  await inbox.log.getByText("Not sent: ").waitFor();
  await inbox.log.getByRole("button", { name: "Discard" }).click();
  await eventually(async () => assert.equal(await inbox.log.locator(".pending").count(), 0));
  assert.ok(!(await visitor.bubbles()).includes("Hello"));
});

stage.test("quick messages arrive in the order in which they were written", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await visit(come, tenant);
  await visitor.write("I want to talk to a human");
  const inbox = await ada.sitDown(await come());
  await inbox.open();
  await inbox.button("Claim").click();
  await inbox.editor.waitFor();
  // The first calls are the slowest.
  let calls = 0;
  await inbox.page.route("**/add/message*", async (route) => {
    calls += 1;
    await new Promise((resolve) => setTimeout(resolve, 400 / calls));
    await route.continue();
  });
  const written = Array.from({ length: 6 }, (_, number) => `Step ${number}`);
  for (const text of written) await inbox.write(text);
  await eventually(async () => assert.deepEqual((await visitor.bubbles()).slice(-6), written));
  await eventually(async () => assert.equal(await inbox.log.locator(".pending").count(), 0));
});

stage.test("a conversation that the tenant's own backend answered in may be claimed", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await visit(come, tenant);
  await visitor.write("I want to talk to a human");
  await eventually(async () => assert.equal(await visitor.status.textContent(), "Waiting for a person"));
  await tenant.say("agent", "Hello from the backend");
  const inbox = await ada.sitDown(await come());
  await inbox.queue("Assigned").click();
  await inbox.open();
  await inbox.button("Claim").click();
  await inbox.write("Ada here");
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), "Ada here"));
});

stage.test("markup is text, for whoever writes it", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "<b>Ada</b>");
  const markup = "<img src=x onerror=\"document.title='owned'\"> talk to a human";
  const visitor = await visit(come, tenant);
  await visitor.write(markup);
  const inbox = await ada.sitDown(await come());
  await inbox.open();
  await eventually(async () => assert.ok((await inbox.bubbles()).includes(`visitor: ${markup}`)));
  assert.equal(await inbox.log.locator("img").count(), 0);
  assert.match(await inbox.page.title(), /Inbox$/);
});

stage.test("the keyboard alone does a shift", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitors = [];
  for (const number of [1, 2]) {
    const visitor = await visit(come, tenant);
    await visitor.write(`I want to talk to a human, ${number}`);
    await eventually(async () => assert.equal(await visitor.status.textContent(), "Waiting for a person"));
    visitors.push(visitor);
  }
  const inbox = await ada.sitDown(await come());
  const { keyboard } = inbox.page;
  await eventually(async () => assert.equal(await inbox.items.count(), 2));
  await keyboard.press("?");
  await inbox.page.getByRole("dialog").waitFor();
  await findsNothing(inbox.page);
  await picture(inbox.page, "inbox-keys");
  await keyboard.press("Escape");
  await inbox.page.getByRole("dialog").waitFor({ state: "detached" });

  // The longest wait comes first.
  await keyboard.press("j");
  await eventually(async () => assert.ok((await inbox.bubbles()).includes("visitor: I want to talk to a human, 1")));
  await keyboard.press("c");
  await inbox.status(/^Ada/);
  await keyboard.press("Enter");
  await keyboard.type("Hello one");
  await keyboard.press("Enter");
  await inbox.says("agent: Hello one");
  await eventually(async () => assert.equal((await visitors[0].bubbles()).at(-1), "Hello one"));
  await keyboard.press("Escape");
  await keyboard.press("n");
  await keyboard.type("asked about one");
  await keyboard.press("Enter");
  await inbox.says("agent internal: asked about one");
  await keyboard.press("Escape");
  await keyboard.press("e");
  await inbox.status(/^Resolved/);
  await keyboard.press("1");
  await keyboard.press("j");
  await eventually(async () => assert.ok((await inbox.bubbles()).includes("visitor: I want to talk to a human, 2")));
  await keyboard.press("c");
  await inbox.status(/^Ada/);
  await keyboard.press("r");
  await inbox.status(/^Waiting/);
  await keyboard.press("c");
  await inbox.status(/^Ada/);
  await keyboard.press("b");
  await inbox.status(/^Bot/);
  await keyboard.press("/");
  await keyboard.type("one");
  await eventually(async () => assert.equal(await inbox.items.count(), 1));
  await keyboard.press("Escape");
  await keyboard.press("Escape");
  await inbox.page.getByText("Choose a conversation").waitFor();
});

for (const colorScheme of ["light", "dark"]) {
  for (const viewport of [SMALL, { width: 1024, height: 768 }, { width: 1920, height: 1080 }]) {
    stage.test(`axe finds nothing and everything fits: ${colorScheme}, ${viewport.width} wide`, async (come) => {
      const tenant = await stage.tenant();
      const ada = await Operator.hire(stage.relay, tenant, "Ada");
      const visitor = await visit(come, tenant);
      await visitor.write("Where is my order?");
      await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), ANSWER));
      await visitor.write("I want to talk to a human about https://shop.example/an-address/that-does-not-want-to-break-anywhere-at-all");
      const inbox = await ada.sitDown(await come({ colorScheme, viewport }));
      const name = `inbox-${colorScheme}-${viewport.width}`;
      const looks = async (state) => {
        if (await inbox.log.isVisible()) {
          await eventually(async () => {
            const hidden = await inbox.log.evaluate((log) => log.scrollHeight - log.clientHeight - log.scrollTop);
            assert.ok(hidden < 1, `${hidden} px of the newest message are out of sight`);
          });
        }
        assert.equal(await inbox.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, state);
        await findsNothing(inbox.page);
        await picture(inbox.page, `${name}-${state}`);
      };
      await inbox.items.first().waitFor();
      await looks("list");
      await inbox.open();
      await inbox.button("Claim").click();
      await inbox.write("Hello, this is Ada. How can I help?");
      await inbox.says("agent: Hello, this is Ada. How can I help?");
      await visitor.write("مرحبا، أين طلبي؟");
      await inbox.says("visitor: مرحبا، أين طلبي؟");
      await inbox.page.getByRole("tab", { name: "Note" }).click();
      await inbox.write("A note");
      await inbox.says("agent internal: A note");
      if ((await inbox.details.count()) > 0) await inbox.button("Details").click();
      await looks("conversation");
      await inbox.button("Details").click();
      await inbox.details.getByLabel("Add a tag").fill("orders");
      await inbox.details.getByLabel("Add a tag").press("Enter");
      await inbox.details.getByRole("button", { name: "Remove orders" }).waitFor();
      await looks("details");
      await inbox.details.getByRole("button", { name: "Close" }).click();
      await inbox.button("Snooze").click();
      await looks("snooze");
      await inbox.page.keyboard.press("Escape");
      await inbox.button("Menu").or(inbox.page.getByLabel("Menu")).first().click();
      await looks("menu");
      await inbox.page.keyboard.press("Escape");
      await inbox.button("Resolve").click();
      await inbox.status(/^Resolved/);
      if (viewport === SMALL) {
        await inbox.button("Back").click();
        await inbox.list.waitFor();
      }
    });
  }
}

stage.test("French, and from right to left", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await visit(come, tenant);
  await visitor.write("I want to talk to a human");
  const inbox = await ada.sitDown(await come({ locale: "fr-CA" }));
  assert.equal(await inbox.page.locator("html").getAttribute("lang"), "fr");
  await inbox.open();
  await inbox.page.locator(".actions .primary").click();
  await inbox.write("Bonjour");
  await inbox.says("agent: Bonjour");
  await picture(inbox.page, "inbox-french");
  await inbox.page.evaluate(() => document.documentElement.setAttribute("dir", "rtl"));
  const x = async (selector) => (await inbox.page.locator(selector).first().boundingBox()).x;
  assert.ok((await x(".list")) > (await x("main.conversation")), "the list is on the right");
  assert.ok((await x(".bubble.agent")) < (await x(".bubble.visitor")), "own messages are on the left");
  await picture(inbox.page, "inbox-rtl");
});

stage.test("ten thousand conversations scroll, and only those in sight are in the page", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const customer = { customer_name: "Customer 0", customer_email: "c0@shop.example" };
  await tenant.signed("POST", "create/contact-ticket", { ...customer, subject: "Invoice", message: "Where is it?" });
  stage.relay.crowd(tenant, CROWD);
  const inbox = await ada.sitDown(await come());
  await eventually(async () => assert.equal(await inbox.count("Waiting"), CROWD));
  await inbox.items.first().waitFor();
  // Scrolls on as far as there is something, and notes each frame's length and whatever was on the way.
  const scrolled = await inbox.page.locator(".rows").evaluate(async (rows, crowd) => {
    const seen = new Set();
    const frames = [];
    let most = 0;
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const deadline = performance.now() + 60_000;
    while (seen.size < crowd && performance.now() < deadline) {
      const begun = performance.now();
      // A fast scroll may pass rows before they are drawn: then they are seen on the way back up and down.
      if (rows.scrollTop + rows.clientHeight >= rows.scrollHeight - 1 && rows.scrollHeight >= 84 * crowd) rows.scrollTop = 0;
      else rows.scrollBy(0, 700);
      await frame();
      frames.push(performance.now() - begun);
      const items = rows.querySelectorAll(".item .name");
      most = Math.max(most, items.length);
      for (const item of items) seen.add(item.textContent);
    }
    frames.sort((one, other) => one - other);
    return { seen: seen.size, most, median: frames[frames.length >> 1], late: frames[Math.floor(frames.length * 0.99)] };
  }, CROWD);
  console.log(`${CROWD} rows: a frame took ${scrolled.median.toFixed(1)} ms, 1 in 100 more than ${scrolled.late.toFixed(1)} ms`);
  assert.equal(scrolled.seen, CROWD);
  assert.ok(scrolled.most < 60, `${scrolled.most} rows in the page: those out of sight are not`);
});
