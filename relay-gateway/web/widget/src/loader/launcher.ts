// The launcher and the greeting, until the chat takes their place. They have the same style sheets and class names as the chat's own.
import { record, text } from "@chat-relay/protocol/untrusted";
import type { LauncherAppearance } from "../options";
import { parseLook, type Look } from "../protocol";
import { button, el, setAttribute, setText } from "../view/dom";
import { CHAT, CLOSE, drawn } from "../view/icons";
import { applyLook, GREETING_DELAY_MS } from "../view/look";

export interface LauncherOwner {
  readonly appearance: LauncherAppearance;
  /** The visitor looks at the launcher, and may click next. */
  approach(): void;
  open(): void;
  /** Whether a visitor who comes for the first time is greeted. */
  readonly mayGreet: boolean;
  dismissGreeting(): void;
}

export class Launcher {
  readonly #owner: LauncherOwner;
  config: Look = parseLook(null);
  #texts: Readonly<Record<string, unknown>> = {};
  readonly #button: HTMLButtonElement;
  readonly #said = el("span", { class: "said", dir: "auto" });
  readonly #greeting: HTMLElement;
  readonly #dismiss: HTMLButtonElement;
  readonly #corner: HTMLElement;
  readonly root: HTMLElement;
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  readonly #life = new AbortController();
  readonly #timer: number;
  readonly drawnAt = performance.now();
  #greets = false;

  /** `answered` is the relay's answer to the question for the configuration. */
  constructor(owner: LauncherOwner, answered: unknown, shadow: ShadowRoot) {
    this.#owner = owner;
    this.#button = button("launcher", () => owner.open(), drawn("chat", CHAT));
    setAttribute(this.#button, "aria-expanded", "false");
    this.#dismiss = button(
      "dismiss",
      () => {
        owner.dismissGreeting();
        this.render();
        this.#button.focus();
      },
      drawn("close", CLOSE),
    );
    this.#greeting = el("div", "greeting", button("greeting-open", () => owner.open(), this.#said), this.#dismiss);
    this.#corner = el("div", "corner", this.#greeting, this.#button);
    this.root = el("div", "root", this.#corner);
    shadow.append(this.root);
    this.#corner.addEventListener("pointerenter", () => owner.approach());
    this.#dark.addEventListener("change", () => this.render(), { signal: this.#life.signal });
    this.#timer = window.setTimeout(() => {
      this.#greets = true;
      this.render();
    }, GREETING_DELAY_MS);
    this.update(answered);
  }

  /** Takes the relay's answer to the question for the configuration. */
  update(answered: unknown): void {
    this.config = parseLook(answered);
    this.#texts = record(record(answered)["launcher_texts"]);
    this.render();
  }

  render(): void {
    const { appearance } = this.#owner;
    const { localeGiven, launcher } = appearance;
    // An older relay tells no texts.
    const say = (name: string, english: string): string => text(this.#texts[name]) ?? english;
    const isRtl = (!localeGiven && document.documentElement.dir === "rtl") || say("direction", "") === "rtl";
    const look = { dir: isRtl ? "rtl" : "ltr", words: say("language", "en") };
    applyLook(this.root, { config: this.config, open: false, appearance }, look, this.#dark.matches);
    setAttribute(this.#button, "aria-label", say("open_chat", "Open chat"));
    setAttribute(this.#dismiss, "aria-label", say("dismiss_greeting", "Dismiss"));
    setText(this.#said, say("greeting", this.config.greeting));
    this.#greeting.hidden = !this.#greets || !this.#owner.mayGreet;
    this.#corner.hidden = !launcher;
  }

  /** The chat has come. What is drawn stays until the chat has drawn itself. */
  leave(): void {
    clearTimeout(this.#timer);
    this.#life.abort();
  }
}
