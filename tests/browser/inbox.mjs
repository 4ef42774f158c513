// An operator's inbox in a browser, and what an operator does there.
import assert from "node:assert/strict";
import { eventually } from "./browser.mjs";

/** A person of the tenant, with a token and an inbox in a browser of their own. */
export class Operator {
  static async hire(relay, tenant, name, fields = {}) {
    const operator = new Operator();
    operator.relay = relay;
    operator.tenant = tenant;
    operator.name = name;
    operator.email = `${name.toLowerCase()}@northwind.example`;
    const { operator_id } = await tenant.signed("POST", "provision/operator", {
      email: operator.email,
      display_name: name,
      ...fields,
    });
    operator.id = operator_id;
    return operator;
  }

  async token() {
    return (await this.tenant.signed("POST", "fetch/operator-token", { email: this.email })).operator_token;
  }

  async link() {
    return `${this.relay.url}/inbox#token=${await this.token()}`;
  }

  /** Opens the inbox in a browser that `come` made. */
  async sitDown(person) {
    const page = await person.context.newPage();
    await page.goto(await this.link());
    const inbox = new InboxPage(page);
    await inbox.list.waitFor();
    return inbox;
  }

  revoke() {
    return this.tenant.signed("POST", "revoke/operator", { operator_id: this.id });
  }
}

/** The page as an operator sees it. */
export class InboxPage {
  constructor(page) {
    this.page = page;
    this.list = page.locator(".list");
    this.items = page.locator(".list .item");
    this.conversation = page.locator("main.conversation");
    this.log = page.locator(".log");
    this.editor = page.locator(".composer textarea");
    this.details = page.locator(".details");
  }

  button(name) {
    return this.page.getByRole("button", { name, exact: true });
  }

  queue(name) {
    return this.page.locator(".queues").getByRole("button", { name });
  }

  async count(name) {
    return Number(await this.queue(name).locator(".count").textContent());
  }

  /** Opens the first of the list. */
  async open() {
    await this.items.first().click();
    await this.log.waitFor();
  }

  async write(text) {
    await this.editor.fill(text);
    await this.editor.press("Enter");
  }

  /** What was said, as it is shown: who, and what. */
  bubbles() {
    return this.log.locator(".bubble").evaluateAll((bubbles) =>
      bubbles.map((bubble) => {
        const who = [...bubble.classList].filter((name) => name !== "bubble").join(" ");
        return `${who}: ${bubble.querySelector("p[dir=auto]").textContent}`;
      }),
    );
  }

  async says(last) {
    await eventually(async () => assert.equal((await this.bubbles()).at(-1), last));
  }

  async status(text) {
    await eventually(async () => assert.match(await this.conversation.locator(".who p").textContent(), text));
  }
}
