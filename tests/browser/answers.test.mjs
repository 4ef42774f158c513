// What a visitor who waits for a person can do: leave an address, get the answer there, and rate what was resolved.
import assert from "node:assert/strict";
import { findsNothing } from "./axe.mjs";
import { eventually, picture } from "./browser.mjs";
import { Operator } from "./inbox.mjs";
import { scene } from "./scene.mjs";

const stage = scene({ withMail: true });
const ANSWER = "Good morning! Number 7 left yesterday.";

async function asksForPerson(come, tenant, { lang = "en", ...options } = {}) {
  const tab = await (await come(options)).visit(stage.put(await tenant.embedCode(), { lang }));
  await tab.open();
  await tab.write("I want to talk to a human");
  return tab;
}

/** The inbox of an operator who has claimed the only conversation. */
async function claims(come, operator) {
  const inbox = await operator.sitDown(await come());
  await inbox.open();
  await inbox.button("Claim").click();
  return inbox;
}

stage.test("an answer that a visitor has not read reaches the address they left, once", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await asksForPerson(come, tenant);
  const address = visitor.widget.getByLabel("Your e-mail, for answers while you are away");
  await address.waitFor();
  await findsNothing(visitor.page);
  await picture(visitor.page, "widget-address");

  await address.fill("nobody at all");
  await address.press("Enter");
  await visitor.widget.getByText("This is not an e-mail address.").waitFor();
  assert.equal(await address.inputValue(), "nobody at all", "what was refused is there to be mended");
  assert.equal(await address.evaluate((input) => input.getRootNode().activeElement === input), true);
  await findsNothing(visitor.page);
  await address.fill("visitor@example.com");
  await address.press("Enter");
  await visitor.widget.getByText("answers also go to visitor@example.com").waitFor();
  await visitor.page.reload();
  await visitor.open();
  await visitor.widget.getByText("answers also go to visitor@example.com").waitFor();
  await picture(visitor.page, "widget-address-left");
  await visitor.launcher.click();

  const inbox = await claims(come, ada);
  await inbox.write(ANSWER);
  await inbox.details.getByText("visitor@example.com").waitFor();
  await eventually(() => assert.equal(stage.mail.mails.length, 1));
  const [{ to, text }] = stage.mail.mails;
  assert.equal(to, "visitor@example.com");
  for (const words of ["From: Northwind <chat@northwind.example>", "Ada answered you:", ANSWER, stage.pages.origin()]) {
    assert.ok(text.includes(words), text);
  }

  await visitor.open();
  await eventually(async () => assert.equal((await visitor.bubbles()).at(-1), ANSWER));
  await visitor.widget.getByRole("button", { name: "Change" }).click();
  await address.fill("other@example.com");
  await address.press("Enter");
  await visitor.widget.getByText("answers also go to other@example.com").waitFor();
  await visitor.launcher.click();
  await inbox.write("It is here.");
  await eventually(() => assert.equal(stage.mail.mails.length, 2));
  const [, second] = stage.mail.mails;
  assert.equal(second.to, "other@example.com");
  assert.ok(second.text.includes("It is here.") && !second.text.includes(ANSWER), "what was mailed, and read since, is not mailed again");
});

stage.test("a visitor rates what is resolved, adds a word, and the operator sees it", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await asksForPerson(come, tenant);
  const inbox = await claims(come, ada);
  await inbox.write(ANSWER);
  assert.equal(await visitor.widget.getByText("How did we do?").isVisible(), false);
  await inbox.button("Resolve").click();

  await visitor.widget.getByText("How did we do?").waitFor();
  await findsNothing(visitor.page);
  await picture(visitor.page, "widget-rate");
  await visitor.widget.getByRole("button", { name: "4 of 5" }).click();
  await visitor.widget.getByText("Thank you for your rating.").waitFor();
  await inbox.details.getByRole("img", { name: "4 of 5" }).waitFor();
  const comment = visitor.widget.getByLabel("Anything to add?");
  await comment.fill("Quick, and kind.");
  await comment.press("Enter");
  await visitor.widget.getByText("“Quick, and kind.”").waitFor();
  await inbox.details.getByText("Quick, and kind.").waitFor();
  await visitor.widget.getByRole("button", { name: "3 of 5" }).click();
  await inbox.details.getByRole("img", { name: "3 of 5" }).waitFor();
  await visitor.widget.getByRole("button", { name: "4 of 5" }).click();
  await inbox.details.getByRole("img", { name: "4 of 5" }).waitFor();
  await visitor.widget.getByText("“Quick, and kind.”").waitFor();
  await findsNothing(inbox.page);
  await picture(inbox.page, "inbox-rating");

  await visitor.page.reload();
  await visitor.open();
  await visitor.widget.getByText("“Quick, and kind.”").waitFor();
  const pressed = visitor.widget.getByRole("button", { name: "4 of 5" });
  assert.equal(await pressed.getAttribute("aria-pressed"), "true");
  await picture(visitor.page, "widget-rated");
  const { rating } = await tenant.conversation();
  assert.deepEqual([rating.score, rating.comment], [4, "Quick, and kind."]);

  await visitor.write("One more thing, please");
  await eventually(async () => assert.equal(await pressed.isVisible(), false));
});

for (const colorScheme of ["light", "dark"]) {
  stage.test(`a phone shows the address and the rating whole: ${colorScheme}`, async (come) => {
    const tenant = await stage.tenant();
    const ada = await Operator.hire(stage.relay, tenant, "Ada");
    const visitor = await asksForPerson(come, tenant, { viewport: { width: 360, height: 640 }, colorScheme, lang: "fr" });
    await visitor.widget.getByLabel("Votre e-mail").waitFor();
    await visitor.stands();
    await findsNothing(visitor.page);
    await picture(visitor.page, `widget-address-phone-${colorScheme}`);
    const inbox = await claims(come, ada);
    await inbox.button("Resolve").click();
    const stars = visitor.widget.locator(".stars");
    await stars.waitFor();
    await visitor.stands();
    await findsNothing(visitor.page);
    await picture(visitor.page, `widget-rate-phone-${colorScheme}`);
    const { x, width } = await stars.boundingBox();
    assert.ok(x >= 0 && x + width <= 360, `${x} ${width}`);
  });
}

// The last: a relay that was killed leaves a lease, which the next change of a tenant waits for.
stage.test("a rating that was given without a network arrives once there is one", async (come) => {
  const tenant = await stage.tenant();
  const ada = await Operator.hire(stage.relay, tenant, "Ada");
  const visitor = await asksForPerson(come, tenant);
  const inbox = await claims(come, ada);
  await inbox.button("Resolve").click();
  await visitor.widget.getByText("How did we do?").waitFor();
  await stage.relay.kill();
  await eventually(async () => assert.notEqual(await visitor.trouble.textContent(), ""));
  await visitor.widget.getByRole("button", { name: "5 of 5" }).click();
  await stage.relay.restart();
  await eventually(async () => assert.equal((await tenant.conversation()).rating?.score, 5));
});
