// One widget of the page: a launcher that the loader has drawn, until the chat takes its place. What the page asks for meanwhile waits.
import { tellOnConsole } from "../advice";
import type { Chat, ChatModule } from "../contract";
import { Emitter, type EventName } from "../events";
import { readLauncher, settingsOf, type LauncherAppearance, type Start, type Settings } from "../options";
import type { Position } from "../protocol";
import { arrange, leaveSlot, takeSlot, type Slot } from "../slots";
import { setAttribute } from "../view/dom";
import { isolate } from "../view/isolation";
import { adoptStyles } from "../view/styles";
import launcherCss from "../styles/launcher.css";
import baseCss from "../styles/base.css";
import { loadChat } from "./chat";
import { TAG, type Host, type Occupant } from "./host";
import { Kept } from "./kept";
import { Launcher, type LauncherOwner } from "./launcher";

const CONFIG_WITHIN_MS = 15_000;
const RETRY_MOST_S = 60;

export class Entry implements Occupant, LauncherOwner, Slot {
  readonly options: Start;
  readonly host = document.createElement(TAG) as Host;
  readonly emitter = new Emitter();
  readonly #kept: Kept;
  readonly #onChat: (chat: ChatModule) => void;
  readonly #onGone: () => void;
  appearance: LauncherAppearance;
  #settings: Settings;
  #attributes: MutationObserver | null = null;
  #launcher: Launcher | null = null;
  #chat: Chat | null = null;
  /** What the page has asked of the chat that is not there yet. */
  #calls: [method: string, ...args: readonly unknown[]][] = [];
  /** What had the focus when the chat was asked to open. */
  #askedFrom: Element | null = null;
  #answered: unknown = undefined;
  #wasReady = false;
  #isDismissed = false;
  #isLoading = false;
  #failures = 0;
  readonly #life = new AbortController();
  #retry = 0;
  readonly isOpen = false;

  /** `onChat` hears that the chat has come, `onGone` that the element was taken out for good. */
  constructor(options: Start, settings: Settings, onChat: (chat: ChatModule) => void, onGone: () => void) {
    this.options = options;
    this.#settings = settings;
    this.appearance = readLauncher(settings);
    this.#kept = new Kept(options);
    this.#onChat = onChat;
    this.#onGone = onGone;
    this.host.occupant = this;
    isolate(this.host);
    const { signal } = this.#life;
    window.addEventListener("online", () => this.#failures > 0 && this.load(), { signal });
    // What begins in another tab goes on in this one too.
    const heard = (): void => (this.#kept.holdsChat() ? this.load() : this.#launcher?.render());
    window.addEventListener("storage", heard, { signal });
  }

  /** Takes its looks from this snippet from now on, as a router puts one into each page. */
  follow(settings: Settings, script: HTMLScriptElement | null): void {
    this.#attributes?.disconnect();
    this.#attributes = null;
    this.#dress(settings);
    if (script === null) return;
    this.#attributes = new MutationObserver(() => this.#dress(settingsOf(script)));
    this.#attributes.observe(script, { attributes: true });
  }

  #dress(settings: Settings): void {
    const { locale } = this.appearance;
    this.#settings = settings;
    this.appearance = readLauncher(settings);
    this.#chat?.dress(settings);
    if (this.#chat !== null) return;
    this.#launcher?.render();
    if (this.#launcher !== null) {
      arrange();
      if (locale !== this.appearance.locale) this.#show().catch(() => undefined);
    }
    if (this.appearance.container !== null && this.#wasReady) this.load();
  }

  /** The page has loaded. */
  async start(): Promise<void> {
    this.mount();
    // A visitor who has chatted here goes on; a chat within the page is open from the start.
    if (this.#kept.holdsChat() || this.options.open || this.appearance.container !== null || this.#wants("open", "toggle")) {
      this.load();
      return;
    }
    try {
      await this.#show();
    } catch {
      // The chat tries again, and tells the page's developer what is wrong.
      this.load();
    }
  }

  /** Draws the launcher, in the page's language. */
  async #show(): Promise<void> {
    const { locale } = this.appearance;
    const answered = await this.#fetchConfig();
    if (this.#isTaken) return;
    // The page has changed its language meanwhile.
    if (locale !== this.appearance.locale) return this.#show();
    this.#answered = answered;
    if (this.#launcher !== null) return this.#launcher.update(answered);
    if (this.appearance.container !== null) return this.load();
    const shadow = this.host.shadowRoot ?? this.host.attachShadow({ mode: "open" });
    adoptStyles(shadow, [baseCss, launcherCss], this.options.nonce);
    this.#launcher = new Launcher(this, answered, shadow);
    takeSlot(this);
    arrange();
    this.#wasReady = true;
    this.tell("ready", {});
  }

  /** Whether the chat has come, or the page has taken out the element. */
  get #isTaken(): boolean {
    return this.#chat !== null || this.#life.signal.aborted;
  }

  /** Asks the chat for something. What is asked before it is there waits; only some of it has the chat loaded. */
  ask(method: string, ...args: readonly unknown[]): unknown {
    if (this.#chat !== null) return this.#chat.call(method, ...args);
    if (method === "reset") return this.#reset();
    const opens = method === "open" || method === "toggle";
    if (method === "close") this.#calls = this.#calls.filter(([asked]) => asked !== "open" && asked !== "toggle");
    // Once the page knows that there is a chat, opening it is the visitor's act.
    if (opens) args = [args[0] === true || this.#wasReady];
    if (method === "identify") {
      this.#calls = this.#calls.filter(([asked]) => asked !== method);
      // The chat drops the call if another visitor has come by the time it is loaded.
      args = [args[0], this.#kept.visitor, this.#kept.identified];
    }
    this.#calls.push([method, ...args]);
    if (opens) {
      this.#askedFrom = document.activeElement;
      this.load();
    }
    return undefined;
  }

  /** Loads the chat; later again, where that fails. */
  load(): void {
    clearTimeout(this.#retry);
    // Before the page has loaded, nothing may be drawn; `start` comes back to it.
    if (this.#isLoading || this.#isTaken || !this.host.isConnected) return;
    this.#isLoading = true;
    loadChat(this.options.baseUrl).then(
      (module) => this.#onChat(module),
      () => this.#failed(),
    );
  }

  take(module: ChatModule): void {
    if (this.#isTaken) return;
    this.#launcher?.leave();
    const chat = module.take({
      settings: this.#settings,
      host: this.host,
      answered: this.#answered,
      wasReady: this.#wasReady,
      ...(this.#launcher && { drawnAt: this.#launcher.drawnAt }),
      tell: (event, detail) => this.tell(event, detail),
    });
    this.#chat = chat;
    const isStill = document.activeElement === this.#askedFrom;
    for (const [method, first, ...rest] of this.#calls.splice(0)) {
      // If the visitor has moved the focus since the click, the chat does not take it.
      chat.call(method, first === true ? isStill : first, ...rest);
    }
  }

  #failed(): void {
    this.#isLoading = false;
    this.#failures += 1;
    if (this.#isTaken) return;
    if (this.#launcher === null) this.#show().catch(() => undefined);
    if (this.#failures === 1 && navigator.onLine) {
      const message = `${this.options.baseUrl}/api/v1/widget/chat.js cannot be loaded: check the relay, and script-src.`;
      tellOnConsole(message);
      this.tell("error", { error_code: "unreachable", message });
    }
    const ceiling = Math.min(RETRY_MOST_S, 2 ** this.#failures);
    this.#retry = window.setTimeout(() => this.load(), ceiling * (500 + 500 * Math.random()));
  }

  #wants(...methods: readonly string[]): boolean {
    return this.#calls.some(([method]) => methods.includes(method));
  }

  /** The visitor signs out before the chat has come: what is kept goes at once, for the page may be on its way out. */
  #reset(): void {
    const { token } = this.#kept;
    this.#kept.forget();
    this.#calls = [];
    if (token === null) return;
    const init = { method: "POST", headers: { Authorization: `Bearer ${token}` }, keepalive: true, credentials: "omit" } as const;
    void fetch(this.#url("end/visitor-session"), init).catch(() => undefined);
  }

  async #fetchConfig(): Promise<unknown> {
    const signal = AbortSignal.timeout?.(CONFIG_WITHIN_MS) ?? null;
    const url = `${this.#url("fetch/widget-config")}&locale=${encodeURIComponent(this.appearance.locale)}`;
    const response = await fetch(url, { credentials: "omit", cache: "no-store", signal });
    const answer = (await response.json()) as { readonly data?: unknown };
    if (!response.ok || !answer.data) throw new Error("refused");
    return answer.data;
  }

  #url(path: string): string {
    const { baseUrl, tenantId, publicKey } = this.options;
    return `${baseUrl}/api/v1/${path}?${new URLSearchParams({ tenant_id: tenantId, widget_public_key: publicKey })}`;
  }

  tell(event: string, detail: unknown): void {
    // Pages replace this constructor. One that throws there must not stop the widget.
    try {
      this.host.dispatchEvent(new CustomEvent(`chat-relay:${event}`, { detail, bubbles: true, composed: true }));
    } catch (failure) {
      tellOnConsole("an event failed:", failure);
    }
    this.emitter.emit(event as EventName, detail as never);
  }

  // The element's occupant.

  mount(): void {
    if (this.#chat !== null) this.#chat.mount();
    // Inside the body, it would move with the body's transforms, and go when a router swaps the body.
    else if (this.host.parentNode !== document.documentElement) document.documentElement.append(this.host);
  }

  end(): void {
    this.#life.abort();
    clearTimeout(this.#retry);
    this.#attributes?.disconnect();
    this.#launcher?.leave();
    leaveSlot(this);
    this.#chat?.end();
    this.#chat = this.#launcher = null;
    this.#onGone();
  }

  // The launcher's owner, and its place beside others.

  /** Fetches the chat, so that it is there with the click. It takes its place only then: a button that is exchanged while it is pressed hears no click. */
  approach(): void {
    loadChat(this.options.baseUrl).catch(() => undefined);
  }

  /** The visitor has clicked. A second click while the chat is being loaded changes nothing. */
  open(): void {
    this.ask("open", true);
  }

  get mayGreet(): boolean {
    return !this.#isDismissed && this.#kept.read("localStorage", "opened") === null && this.#kept.read("sessionStorage", "greeted") === null;
  }

  dismissGreeting(): void {
    this.#isDismissed = true;
    this.#kept.write("sessionStorage", "greeted", true);
  }

  /** When the launcher was drawn. */
  get drawnAt(): number {
    return this.#launcher?.drawnAt ?? Infinity;
  }

  get side(): Position {
    return this.appearance.position ?? this.#launcher?.config.position ?? "bottom-right";
  }

  get hasLauncher(): boolean {
    return this.appearance.launcher;
  }

  place(index: number, isCrowded: boolean, shiftPx: number): void {
    const root = this.#launcher?.root;
    root?.style.setProperty("--slot", String(index));
    root?.style.setProperty("--shift", `${shiftPx}px`);
    if (root) setAttribute(root, "data-crowded", isCrowded ? (index === 0 ? "first" : "behind") : null);
  }
}
