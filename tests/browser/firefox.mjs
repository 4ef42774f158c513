// Firefox, and what a visitor does in it. It is driven by WebDriver BiDi, the protocol that an unchanged Firefox speaks.
import assert from "node:assert/strict";
import puppeteer from "puppeteer-core";
import { eventually, executable } from "./browser.mjs";

export function launchFirefox() {
  return puppeteer.launch({ browser: "firefox", executablePath: executable("FIREFOX", ["firefox-esr", "firefox"]), headless: true });
}

/** A page that has the widget. */
export class FirefoxTab {
  static async visit(context, url) {
    const tab = new FirefoxTab();
    tab.said = [];
    tab.page = await context.newPage();
    await tab.page.setViewport({ width: 1200, height: 800 });
    tab.page.on("console", (line) => tab.said.push(line.text()));
    await tab.page.goto(url);
    return tab;
  }

  /** A part of the widget, once it is in sight. */
  part(selector) {
    return this.page.waitForSelector(`chat-relay-widget >>> ${selector}`, { visible: true, timeout: 20_000 });
  }

  /** What `read` makes of all parts of this kind. */
  async all(selector, read) {
    return this.page.evaluate(
      (selector, read) => {
        const root = document.querySelector("chat-relay-widget")?.shadowRoot;
        return [...(root?.querySelectorAll(selector) ?? [])].map(new Function("node", `return (${read})(node)`));
      },
      selector,
      String(read),
    );
  }

  async open() {
    const launcher = await this.part(".launcher");
    await launcher.click();
    await this.part(".panel[data-open=true]");
  }

  async write(text) {
    const input = await this.part(".composer textarea");
    await input.click();
    await this.page.keyboard.type(text);
    await this.page.keyboard.press("Enter");
  }

  bubbles() {
    return this.all(".log .bubble", (node) => node.textContent);
  }

  shows(said) {
    return eventually(async () => assert.deepEqual((await this.bubbles()).slice(-said.length), said));
  }
}
