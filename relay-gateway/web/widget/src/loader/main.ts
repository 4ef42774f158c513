// Gives the page window.ChatRelay, does what was asked of it before this script had loaded, and starts the widgets of the embed snippets. What
// they are before the first click is drawn here; the chat itself is loaded once it is wanted.
import { tellOnConsole } from "../advice";
import type { EventName, Listener } from "../events";
import { all, startFrom, startScripts, whenChatComes, withFirst } from "./embed";
import type { Entry } from "./entry";
import { Host, TAG } from "./host";

interface Handle {
  open(): void;
  close(): void;
  toggle(): void;
  hide(): void;
  show(): void;
  /** For when the visitor signs out: the next person at this browser finds nothing of the conversation. */
  reset(): void;
  /** For when the visitor has signed in: `{ token, name, email }`, with a token that the tenant's backend has minted. */
  identify(identity: unknown): void;
  on<K extends EventName>(event: K, listener: Listener<K>): () => void;
}

interface ChatRelay extends Handle {
  /** Starts a widget by code, with the script element's attributes as fields: `{tenantId, publicKey, …}`. */
  start(settings: unknown): void;
  /** The widget with this public key, or `null`. */
  widget(publicKey: string): Handle | null;
  /** Calls as arrays, `["open"]`: what a stub has kept, and what is pushed to it later. */
  q: { push(...calls: readonly unknown[]): void };
}

type Api = ChatRelay & ((method: string, ...args: readonly unknown[]) => unknown);

/** Where a second copy of this file finds the first, which then serves both snippets. */
const START = Symbol.for("chat-relay.start");

/** The methods that the chat carries out, beside those that the loader knows. */
let chatMethods: readonly string[] = [];

function handle(use: (act: (entry: Entry) => void) => void): Handle {
  const asked = (method: string) => (...args: readonly unknown[]): void => use((entry) => void entry.ask(method, ...args));
  const shown = (method: string) => (): void =>
    use((entry) => {
      entry.host.hidden = false;
      entry.ask(method);
    });
  return {
    ...Object.fromEntries(chatMethods.map((name) => [name, asked(name)])),
    open: shown("open"),
    close: asked("close"),
    // A chat that was hidden is shown, whether it was open or not.
    toggle: () => use((entry) => shown(entry.host.hidden ? "open" : "toggle")()),
    hide: () => use(({ host }) => void (host.hidden = true)),
    show: shown("show"),
    reset: asked("reset"),
    identify: asked("identify"),
    on: (event, listener) => {
      let stop: (() => void) | null = null;
      let isStopped = false;
      use(({ emitter }) => {
        if (!isStopped) stop = emitter.on(event, listener);
      });
      return () => {
        isStopped = true;
        stop?.();
      };
    },
  };
}

function build(): Api {
  const call = (method: string, ...args: readonly unknown[]): unknown => {
    const act = (api as unknown as Record<string, unknown>)[method];
    if (typeof act === "function" && Object.keys(api).includes(method)) return act(...args);
    tellOnConsole(`ChatRelay has no method "${method}".`);
    return undefined;
  };
  const api: Api = Object.assign(call, handle(withFirst), {
    reset: () => {
      const running = all();
      for (const entry of running) entry.ask("reset");
      // A page that resets first and starts then means the visitor whose session is stored.
      if (running.length === 0) withFirst((entry) => void entry.ask("reset"));
    },
    start: startFrom,
    widget: (publicKey: string) => {
      const find = (): Entry | undefined => all().find(({ options }) => options.publicKey === publicKey);
      const use = (act: (entry: Entry) => void): void => {
        const found = find();
        if (found) act(found);
      };
      return find() ? handle(use) : null;
    },
    q: {
      push: (...calls: readonly unknown[]) => {
        for (const given of calls) guarded(() => call(...([...(given as Iterable<unknown>)] as [string, ...unknown[]])));
      },
    },
  });
  return api;
}

/** What stands under the name already: the first copy of this file, a stub with a queue, an element of that id, or somebody else's. */
function boot(): void {
  const current = document.currentScript instanceof HTMLScriptElement ? document.currentScript : null;
  const page = window as unknown as { ChatRelay?: unknown };
  const existing = notNamedElement(page.ChatRelay);
  const restart = existing?.[START];
  if (typeof restart === "function") {
    (restart as typeof startScripts)(current);
    return;
  }
  const queue = existing?.q;
  if (existing && !Array.isArray(queue)) {
    tellOnConsole("window.ChatRelay is taken by another script: the widget was not started.");
    return;
  }
  if (!customElements.get(TAG)) customElements.define(TAG, Host);
  const api = build();
  whenChatComes((names) => {
    chatMethods = names;
    const known = Object.keys(api);
    for (const [name, method] of Object.entries(handle(withFirst))) if (!known.includes(name)) Object.assign(api, { [name]: method });
  });
  Object.defineProperty(api, START, { value: startScripts });
  page.ChatRelay = api;
  startScripts(current);
  if (Array.isArray(queue)) api.q.push(...queue);
}

/** An element of that id, or a frame of that name, is no script's: browsers put both on the window. Nothing may be read of another origin's frame. */
function notNamedElement(value: unknown): Partial<Record<symbol | "q", unknown>> | null {
  try {
    const found = value as { readonly window?: unknown } | undefined;
    const isNamed = found instanceof Element || found instanceof HTMLCollection || found?.window === found;
    return isNamed ? null : (found as Partial<Record<symbol | "q", unknown>>);
  } catch {
    return null;
  }
}

function guarded(run: () => void): void {
  try {
    run();
  } catch (failure) {
    tellOnConsole("ChatRelay:", failure);
  }
}

guarded(boot);
