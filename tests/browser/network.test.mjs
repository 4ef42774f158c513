// Networks and relays that go away, and come back: each message is there once, on both sides, in the order it was written.
import assert from "node:assert/strict";
import { Tab, eventually } from "./browser.mjs";
import { ANSWER, GREETING, QUESTION, answers, scene } from "./scene.mjs";

const stage = scene({ withLink: true });
const OFFLINE = "You are offline. Messages are kept and sent when you are back.";

/** A panel with a conversation in which a person answers, so that nothing but what is written here is said. */
async function talking(come) {
  const tenant = await stage.tenant();
  const visitor = await come();
  const tab = await visitor.visit(stage.put(await tenant.embedCode()));
  await answers(tab);
  await tenant.say("agent", "I am here.");
  const begun = [GREETING, `sent: ${QUESTION}`, ANSWER, "I am here."];
  await eventually(async () => assert.deepEqual(await tab.bubbles(), begun));
  return { tenant, visitor, tab, begun };
}

/** What the relay has is what the tab shows, now and after a reload. */
async function agrees(tenant, tab, shown) {
  await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
  const said = shown.slice(1).map((text) => text.replace(/^sent: /, ""));
  assert.deepEqual((await tenant.messages()).map(({ content }) => content), said);
  await tab.page.reload();
  await tab.open();
  await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
  const unsent = await tab.page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(":out:")));
  assert.deepEqual(unsent, []);
}

stage.test("what is written offline is kept, and sent once and in order when the browser is online", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  await visitor.context.setOffline(true);
  await eventually(async () => assert.equal(await tab.trouble.textContent(), OFFLINE));
  for (const text of ["one", "two", "three"]) await tab.write(text);
  assert.deepEqual(await tab.bubbles(), [...begun, "sending: one", "sending: two", "sending: three"]);
  assert.equal((await tenant.messages()).length, 3);
  await visitor.context.setOffline(false);
  await eventually(async () => assert.equal(await tab.trouble.isVisible(), false));
  await agrees(tenant, tab, [...begun, "sent: one", "sent: two", "sent: three"]);
});

stage.test("a message whose acknowledgement was lost is there once", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  await tab.page.evaluate(() => {
    const log = document.querySelector("chat-relay-widget").shadowRoot.querySelector(".log");
    window.mostCopies = 0;
    new MutationObserver(() => {
      const copies = [...log.querySelectorAll(".bubble")].filter(({ textContent }) => textContent === "only once");
      window.mostCopies = Math.max(window.mostCopies, copies.length);
    }).observe(log, { childList: true, subtree: true });
  });
  stage.link.loseAnswers();
  await tab.write("only once");
  await eventually(async () => assert.equal((await tenant.messages()).at(-1).content, "only once"));
  assert.equal((await tab.bubbles()).at(-1), "sending: only once");
  stage.link.cut();
  await tab.write("and then this");
  stage.link.mend();
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "sent: and then this"));
  assert.equal(await tab.page.evaluate(() => window.mostCopies), 1, "it is never shown twice");
  await agrees(tenant, tab, [...begun, "sent: only once", "sent: and then this"]);
});

stage.test("a connection that has gone silent is given up, and the message sent over another one", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  const page = await visitor.context.newPage();
  await page.clock.install();
  await page.goto(tab.page.url());
  const late = new Tab(page);
  await late.open();
  await eventually(async () => assert.deepEqual(await late.bubbles(), begun));
  stage.link.loseAnswers();
  await late.write("hello?");
  await eventually(async () => assert.equal((await tenant.messages()).at(-1).content, "hello?"));
  stage.link.hearAgain();
  await page.clock.fastForward("00:21");
  await eventually(async () => assert.deepEqual(await late.bubbles(), [...begun, "sent: hello?"]));
  // Else the reload would try what Chromium keeps of the silent connections.
  stage.link.cut();
  stage.link.mend();
  await agrees(tenant, late, [...begun, "sent: hello?"]);
});

stage.test("what was written before a reload without a network is sent after it", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  stage.link.cut();
  await tab.write("one");
  await tab.write("two");
  await tab.page.reload();
  await eventually(async () => {
    const kept = await tab.page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(":out:")));
    assert.equal(kept.length, 2);
  });
  stage.link.mend();
  await tab.open();
  await agrees(tenant, tab, [...begun, "sent: one", "sent: two"]);
});

stage.test("a killed relay comes back with the conversation, and takes what was written meanwhile once", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  await tab.write("before");
  await stage.relay.kill();
  await tab.write("during");
  await tab.write("during it still");
  await eventually(async () => assert.equal(await tab.trouble.textContent(), "Reconnecting…"));
  await stage.relay.restart();
  await eventually(async () => assert.equal(await tab.trouble.isVisible(), false));
  await tab.write("after");
  await agrees(tenant, tab, [...begun, "sent: before", "sent: during", "sent: during it still", "sent: after"]);
});

/** Mends the link; the page hears of it, and so does not wait for longer than the test. */
async function mend(tab) {
  stage.link.mend();
  await tab.page.evaluate(() => window.dispatchEvent(new Event("online")));
}

/** More is said behind a cut link than the history that greets a returning visitor holds. */
async function misses(tenant, tab) {
  stage.link.cut();
  await eventually(async () => assert.equal(await tab.trouble.textContent(), "Reconnecting…"));
  const news = Array.from({ length: 60 }, (_, number) => `news ${number}`);
  for (const text of news) await tenant.say("agent", text);
  return news;
}

stage.test("everything said during a long absence arrives, once and in order", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  const news = await misses(tenant, tab);
  await mend(tab);
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [...begun, ...news]));
  assert.equal((await tenant.messages()).length, 63);
});

stage.test("an absence whose news break off half-way leaves no gap", async (come) => {
  const { tenant, tab, begun } = await talking(come);
  const news = await misses(tenant, tab);
  stage.link.cutBefore('"news 4"');
  await mend(tab);
  const history = news.slice(10);
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [...begun, ...news.slice(0, 4), ...history]));
  await tenant.say("agent", "one more");
  await mend(tab);
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [...begun, ...news, "one more"]));
});

stage.test("a connection long silent is renewed when the page comes into sight again, one in use is not", async (come) => {
  const { visitor, tab, begun } = await talking(come);
  const page = await visitor.context.newPage();
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(socket));
  await page.clock.install();
  await page.goto(tab.page.url());
  const late = new Tab(page);
  await late.open();
  await eventually(async () => assert.deepEqual(await late.bubbles(), begun));
  const comesIntoSight = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.clock.fastForward("00:50");
  await comesIntoSight();
  assert.equal(sockets.length, 1);
  await page.clock.fastForward("00:20");
  await comesIntoSight();
  await eventually(() => assert.deepEqual(sockets.map((socket) => socket.isClosed()), [true, false]));
  await late.write("Still here?");
  await eventually(async () => assert.equal((await late.bubbles()).at(-1), "sent: Still here?"));
});

stage.test("a message without any answer is failed in the end, and the next one is sent", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  const page = await visitor.context.newPage();
  await page.clock.install();
  // The other tab would send it.
  const url = tab.page.url();
  await tab.page.close();
  // A relay that never hears of one message.
  await page.routeWebSocket(/ws\/widget/, (socket) => {
    const relay = socket.connectToServer();
    socket.onMessage((frame) => frame.includes("a black hole") || relay.send(frame));
  });
  // The clock runs faster than the relay answers, so that the widget may carry on over HTTP.
  await page.route(/send\/visitor-frame/, (call) => call.request().postData()?.includes("a black hole") || call.continue());
  await page.goto(url);
  const late = new Tab(page);
  await late.open();
  await eventually(async () => assert.deepEqual(await late.bubbles(), begun));
  await late.write("a black hole");
  await late.write("the next");
  await eventually(async () => {
    await page.clock.fastForward("00:05");
    assert.deepEqual(await late.bubbles(), [...begun, "sent: the next", "failed: a black hole"]);
  });
  assert.equal((await tenant.messages()).at(-1).content, "the next");
});

stage.test("what a closed tab has not sent is sent by another one that is open", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  const doomed = await visitor.visit(tab.page.url());
  await doomed.open();
  await eventually(async () => assert.deepEqual(await doomed.bubbles(), begun));
  await doomed.page.evaluate(() => window.dispatchEvent(new Event("pagehide")));
  await doomed.page.evaluate(() => (WebSocket.prototype.send = () => undefined));
  await doomed.write("do not forget me");
  await doomed.page.close();
  await agrees(tenant, tab, [...begun, "sent: do not forget me"]);
});

/** A tab whose sockets pass through `intercept(socket, relay, count)`, in a conversation that has begun. */
async function intercepted(come, intercept) {
  const tenant = await stage.tenant();
  const visitor = await come();
  const page = await visitor.context.newPage();
  let sockets = 0;
  await page.routeWebSocket(/ws\/widget/, (socket) => intercept(socket, socket.connectToServer(), (sockets += 1)));
  await page.goto(stage.put(await tenant.embedCode()));
  const tab = new Tab(page);
  await tab.open();
  return { tenant, visitor, tab };
}

stage.test("a token the relay takes no more is renewed, and the conversation goes on", async (come) => {
  const tokens = [];
  const { tenant, tab } = await intercepted(come, (socket, relay, count) => {
    // A URL is logged on its way; a subprotocol is not.
    assert.equal(new URL(socket.url()).search, "");
    const [spoken, bearer] = socket.protocols();
    assert.equal(spoken, "chat-relay.v1");
    tokens.push(bearer);
    socket.onMessage((frame) => {
      if (count === 1 && frame.includes("message")) void socket.close({ code: 4401, reason: "token_expired" });
      else relay.send(frame);
    });
  });
  const renewed = tab.page.waitForRequest(/refresh\/visitor-token/);
  await tab.write(QUESTION);
  await renewed;
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
  assert.equal(tokens.length, 2);
  assert.notEqual(tokens[0], tokens[1]);
  assert.equal((await tenant.messages()).length, 2);
});

stage.test("a message that meets the close of an idle connection is sent over the next one", async (come) => {
  const { tab } = await intercepted(come, (socket, relay, count) => {
    socket.onMessage((frame) => {
      if (count === 1 && frame.includes("message")) void socket.close({ code: 4408, reason: "idle" });
      else relay.send(frame);
    });
  });
  await tab.write(QUESTION);
  await eventually(async () => assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER]));
});

stage.test("a refusal that names no message is of the one in flight, and the next one is sent", async (come) => {
  const { tab } = await intercepted(come, (socket, relay) => {
    socket.onMessage((frame) => {
      const refusal = { type: "error", error_code: "malformed_json", message: "A frame must be a JSON object." };
      if (frame.includes("unreadable")) socket.send(JSON.stringify(refusal));
      else relay.send(frame);
    });
  });
  await tab.write("unreadable");
  await tab.write(QUESTION);
  await eventually(async () =>
    assert.deepEqual(await tab.bubbles(), [GREETING, `sent: ${QUESTION}`, ANSWER, "failed: unreadable"]),
  );
});

stage.test("a time that cannot be read stops nothing, and what is seen is told once a second", async (come) => {
  let reads = 0;
  const { tenant, tab } = await intercepted(come, (socket, relay) => {
    relay.onMessage((frame) => socket.send(frame.replace(/"created_at":"[^"]*"/g, '"created_at":"yesterday"')));
    socket.onMessage((frame) => {
      if (frame.includes('"read"')) reads += 1;
      relay.send(frame);
    });
  });
  await tab.write(QUESTION);
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
  const begun = Date.now();
  for (let number = 1; number <= 10; number += 1) await tenant.say("agent", `Step ${number}`);
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "Step 10"));
  const seconds = (Date.now() - begun) / 1000;
  assert.ok(reads <= seconds + 2, `${reads} in ${seconds} s`);
});

const NO_SOCKETS = [
  ["a policy without the relay's wss: address", (url) => ({ "Content-Security-Policy": `connect-src ${url}` }), null],
  // Opened, and then silent: no frame of the relay's ever comes.
  ["a network that swallows WebSockets", () => ({}), () => undefined],
  ["a network that refuses WebSockets", () => ({}), (socket) => socket.close({ code: 1006 })],
  ["a network that ends each WebSocket soon", () => ({}), endSoon],
];

/** Lets a WebSocket through for as long as a greeting takes. */
function endSoon(socket) {
  const server = socket.connectToServer();
  server.onMessage((frame) => {
    socket.send(frame);
    void socket.close({ code: 1006 });
  });
}

/** A visitor's page from which no WebSocket gets through. */
async function withoutSockets(come, headers, stop) {
  const tenant = await stage.tenant();
  const visitor = await come();
  const page = await visitor.context.newPage();
  if (stop) await page.routeWebSocket(/\/ws\/widget/, stop);
  await page.clock.install();
  await page.goto(stage.put(await tenant.embedCode(), { headers: headers(stage.link.url) }));
  const tab = new Tab(page);
  await tab.launcher.waitFor();
  await page.evaluate(() => {
    window.errors = [];
    window.ChatRelay.on("error", ({ error_code }) => window.errors.push(error_code));
  });
  const advice = () => visitor.said.filter(({ text }) => text.startsWith("[chat-relay]")).map(({ text }) => text);
  return { tenant, visitor, page, tab, advice };
}

for (const [name, headers, stop] of NO_SOCKETS) {
  stage.test(`${name}: the chat goes on by calls, and the developer is told once`, async (come) => {
    const { tenant, page, tab, advice } = await withoutSockets(come, headers, stop);
    const answered = answers(tab);
    // The widget waits for so long before it gives a WebSocket up.
    if (stop) await page.clock.fastForward("00:11");
    await answered;
    assert.equal(await tab.widget.locator(".presence").getAttribute("class"), "presence online");
    assert.equal(await tab.trouble.isVisible(), false);
    const shown = [GREETING, `sent: ${QUESTION}`, ANSWER];
    await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
    // What others say comes when it is said, by a call that waits for it; in the order in which it was said, and once.
    for (let number = 1; number <= 3; number += 1) await tenant.say("agent", `Step ${number}`);
    shown.push("Step 1", "Step 2", "Step 3");
    await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
    for (const text of ["first", "second", "third"]) await tab.write(text);
    shown.push("sent: first", "sent: second", "sent: third");
    await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
    assert.equal(advice().length, 1);
    assert.match(advice()[0], /^\[chat-relay\] No WebSocket to ws:.* opens, although .* answers: .*network.*connect-src.*by calls/);
    assert.deepEqual(await page.evaluate(() => window.errors), ["websocket_unavailable"]);

    // The reload shows what is kept, in the same order.
    await agrees(tenant, tab, shown);
  });
}

stage.test("where neither WebSockets nor calls get through, the visitor is told so in words, and what is written is kept", async (come) => {
  const { page, tab, advice } = await withoutSockets(come, () => ({}), () => undefined);
  await page.route(/visitor-frame/, (route) => route.abort());
  await tab.open();
  await tab.write("is anybody there?");
  await tab.trouble.waitFor();
  assert.equal(await tab.widget.locator(".presence").getAttribute("class"), "presence away");
  await page.clock.fastForward("00:16");
  const words = "The chat cannot be reached at the moment. Your messages are kept and sent as soon as it can.";
  await eventually(async () => assert.equal(await tab.trouble.textContent(), words));
  await eventually(() => assert.equal(advice().length, 1));
  assert.match(advice()[0], /^\[chat-relay\] No WebSocket to ws:.* opens, although .* answers: .*Nor do calls get through/);
  assert.deepEqual(await page.evaluate(() => window.errors), ["websocket_unavailable"]);
  assert.deepEqual((await tab.bubbles()).at(-1), "sending: is anybody there?");
});

stage.test("calls carry a conversation over to the next page, and give way to a WebSocket once one gets through", async (come) => {
  const { tenant, page, tab } = await withoutSockets(come, NO_SOCKETS[2][1], NO_SOCKETS[2][2]);
  await answers(tab);
  const shown = [GREETING, `sent: ${QUESTION}`, ANSWER];
  await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
  let sockets = 0;
  let passes = false;
  await page.routeWebSocket(/\/ws\/widget/, (socket) => {
    sockets += 1;
    if (passes) socket.connectToServer();
    else void socket.close({ code: 1006 });
  });
  await page.reload();
  await eventually(async () => assert.deepEqual(await tab.bubbles(), shown));
  assert.equal(sockets, 0, "the page before has found out");
  await page.clock.fastForward("00:11");
  await eventually(() => assert.equal(sockets, 1));
  passes = true;
  await page.clock.fastForward("00:21");
  // One that was tried, and the one that stays.
  await eventually(() => assert.equal(sockets, 3));
  let calls = 0;
  page.on("request", (request) => (calls += /visitor-frame/.test(request.url()) ? 1 : 0));
  await tenant.say("agent", "Over a socket");
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), "Over a socket"));
  assert.equal(calls, 0);
});

stage.test("a connection that was good for five seconds is no failure: the next one is dialled soon", async (come) => {
  const { tenant, visitor, tab, begun } = await talking(come);
  const page = await visitor.context.newPage();
  // Each wait is as long as it may be: after six failures half a minute, longer than this test has patience for.
  await page.addInitScript(() => (Math.random = () => 0.999));
  await page.clock.install();
  await page.goto(tab.page.url());
  const late = new Tab(page);
  await late.open();
  await eventually(async () => assert.deepEqual(await late.bubbles(), begun));
  const shown = [...begun];
  for (let number = 1; number <= 6; number += 1) {
    // Only a live connection sends it.
    await late.write(`still here ${number}`);
    shown.push(`sent: still here ${number}`);
    await eventually(async () => assert.deepEqual(await late.bubbles(), shown));
    await page.clock.fastForward("00:06");
    stage.link.cut();
    stage.link.mend();
  }
  await agrees(tenant, late, shown);
});
