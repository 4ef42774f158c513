// What every test file starts once: a relay, host pages, a browser; and what every test ends with.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Visitor, eventually, launch, picture } from "./browser.mjs";
import { Link } from "./link.mjs";
import { MailServer } from "./mail.mjs";
import { Pages } from "./pages.mjs";
import { Relay } from "./relay.mjs";

export const GREETING = "Hello! How can we help?";
export const QUESTION = "Where is my order?";
/** What the bot answers from the document that every tenant here has. */
export const ANSWER = "Track your order from the link in your e-mail.";

/** Asks the question in the open chat, and waits for the answer. */
export async function answers(tab) {
  await tab.open();
  await tab.write(QUESTION);
  await eventually(async () => assert.equal((await tab.bubbles()).at(-1), ANSWER));
}

/** With `withLink`, browsers reach the relay over a link that can be cut; with `withMail`, the relay sends mail. */
export function scene({ withLink = false, withMail = false } = {}) {
  const stage = {
    /** A tenant with something to answer from, whose pages are of this host. */
    async tenant(fields) {
      const tenant = await stage.relay.provision([stage.pages.origin()], fields);
      await tenant.ingest("Orders", ANSWER);
      return tenant;
    },

    /** The address of a new page with this in it. */
    put(html, { host, ...page } = {}) {
      pagesPut += 1;
      return stage.pages.origin(host) + stage.pages.put(`/page-${pagesPut}`, html, page);
    },

    /** A test in which visitors come and go; a picture is kept of what they saw when it failed. */
    test(name, act) {
      test(name, async () => {
        const visitors = [];
        const come = async (options) => {
          visitors.push(await Visitor.come(stage.browser, options));
          return visitors[visitors.length - 1];
        };
        try {
          await act(come);
          for (const { uncaught } of visitors) assert.deepEqual(uncaught, []);
        } catch (failure) {
          for (const [number, page] of visitors.flatMap(({ context }) => context.pages()).entries()) {
            await picture(page, `failed-${name.replace(/\W+/g, "-")}-${number}`).catch(() => undefined);
          }
          for (const { said } of visitors) console.error(said.map(({ type, text }) => `${type}: ${text}`).join("\n"));
          throw failure;
        } finally {
          for (const visitor of visitors) await visitor.leave();
        }
      });
    },
  };
  let pagesPut = 0;

  before(async () => {
    if (withLink) stage.link = await Link.start();
    if (withMail) stage.mail = await MailServer.start();
    stage.pages = await Pages.start();
    stage.browser = await launch();
    stage.relay = await Relay.start({ relayUrl: stage.link?.url, mailUrl: stage.mail?.url });
    stage.link?.leadTo(stage.relay.port);
  });

  after(async () => {
    await stage.browser?.close();
    await stage.relay?.stop();
    await stage.pages?.stop();
    await stage.link?.stop();
    await stage.mail?.stop();
  });
  return stage;
}
