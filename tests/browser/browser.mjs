// Chromium, what a visitor does in it, and waiting for what shall come true.
import { AssertionError } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const CHROMIUM = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** Long enough for the slowest machine: what is waited for either comes much sooner or never. */
const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 25;

const artefacts = fileURLToPath(new URL("artefacts/", import.meta.url));

/** The browser that a variable of the environment names, or the first of these programs that is there. */
export function executable(variable, names) {
  if (process.env[variable]) return process.env[variable];
  for (const name of names) {
    try {
      return execFileSync("which", [name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      // The next one, then.
    }
  }
  throw new Error(`there is no ${names[0]}: install it, or name another in ${variable}`);
}

export function launch() {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: executable("CHROMIUM", CHROMIUM), args });
}

/** Looks again until `check` fails no more, and answers what it answers. Its last failure is ours. */
export async function eventually(check) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await check();
    } catch (failure) {
      if (!(failure instanceof AssertionError) || Date.now() > deadline) throw failure;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** A visitor with a browser of their own: no storage is shared with another's. */
export class Visitor {
  /** Everything on the console and every uncaught failure of their pages. */
  said = [];

  static async come(browser, options = {}) {
    const visitor = new Visitor();
    visitor.context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", ...options });
    visitor.context.setDefaultTimeout(PATIENCE_MS);
    visitor.context.on("console", (line) => visitor.said.push({ type: line.type(), text: line.text() }));
    visitor.context.on("weberror", (failure) => visitor.said.push({ type: "uncaught", text: String(failure.error()) }));
    return visitor;
  }

  /** A new tab there. */
  async visit(url) {
    const page = await this.context.newPage();
    await page.goto(url);
    return new Tab(page);
  }

  /** What the widget told the page's developer. */
  get advice() {
    return this.said.filter(({ type, text }) => type === "error" && text.startsWith("[chat-relay]")).map(({ text }) => text);
  }

  get uncaught() {
    return this.said.filter(({ type }) => type === "uncaught").map(({ text }) => text);
  }

  async leave() {
    await this.context.close();
  }
}

/** A widget in a page or a frame of one; `index` counts where there are several. */
export class Tab {
  constructor(page, { frame = page, index = 0 } = {}) {
    this.page = page;
    this.widget = frame.locator("chat-relay-widget").nth(index);
    this.launcher = this.widget.locator(".launcher");
    this.panel = this.widget.locator(".panel");
    this.input = this.widget.locator(".composer textarea");
    this.send = this.widget.locator(".composer .send");
    this.badge = this.widget.locator(".badge");
    this.status = this.widget.locator(".status");
    this.notice = this.widget.locator(".notice");
    this.trouble = this.widget.locator(".bar");
  }

  /** Looks at the launcher until the chat behind it has been fetched. */
  async approach() {
    const fetched = this.page.waitForResponse((response) => response.url().includes("/widget/chat.js"));
    await this.launcher.hover();
    // The same module: this waits until it has run.
    await this.page.evaluate((url) => import(url).then(() => undefined), (await fetched).url());
  }

  /** Opens the panel, where a page of the same visit has not left it open. */
  async open() {
    await this.launcher.waitFor({ state: "attached" });
    if ((await this.launcher.getAttribute("aria-expanded")) !== "true") await this.launcher.click();
    await this.panel.and(this.widget.locator("[data-open=true]")).waitFor();
  }

  async write(text) {
    await this.input.fill(text);
    // Where fingers type, Enter makes a line.
    if ((await this.input.getAttribute("enterkeyhint")) === "send") await this.input.press("Enter");
    else await this.send.tap();
  }

  /** The conversation as it is shown: who, what, and for what the visitor wrote, how far it got. */
  bubbles() {
    return this.widget.locator(".log .row").evaluateAll((rows) =>
      rows.map((row) => {
        const text = row.querySelector(".bubble").textContent;
        const delivery = ["sending", "sent", "failed"].find((state) => row.classList.contains(state));
        return row.classList.contains("own") ? `${delivery}: ${text}` : text;
      }),
    );
  }

  /** The same, and the lines between which nobody said, but for the days. */
  lines() {
    return this.widget.locator(".log .bubble, .log .line.note").allTextContents();
  }

  /** Waits until nothing in it moves: places and colours on their way say nothing. */
  async stands() {
    await this.widget.evaluate(async ({ shadowRoot }) => {
      const passing = () => shadowRoot.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity);
      const moving = () => passing().filter(({ playState }) => playState === "running");
      while (moving().length > 0) await Promise.allSettled(moving().map(({ finished }) => finished));
    });
  }

  /** What has the focus, within the widget too. */
  focused() {
    return this.page.evaluate(() => {
      let node = document.activeElement;
      while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
      return node.id || node.className || node.localName;
    });
  }
}

/** Keeps a picture as `artefacts/<name>.png`. */
export async function picture(page, name) {
  mkdirSync(artefacts, { recursive: true });
  await page.screenshot({ path: `${artefacts}${name}.png`, animations: "disabled" });
}
