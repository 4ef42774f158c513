// Gives the page window.ChatRelay, does what was asked of it before this script had loaded, and starts the widgets of the embed snippets.
// The long texts come first, so that all code is near other code: gzip looks no further back than 32 KiB.
import "./view/stylesheet";
import "./text";
import "./advice";
import { tellOnConsole } from "./advice";
import { ChatRelayElement, TAG } from "./element";
import { all, startFrom, startScripts, withFirst, type Running } from "./embed";
import type { EventName, Listener } from "./events";

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

function handle(use: (act: (running: Running) => void) => void): Handle {
  return {
    open: () =>
      use(({ widget, element }) => {
        element.hidden = false;
        widget.open();
        element.reveal();
      }),
    close: () => use(({ widget }) => widget.close()),
    toggle: () =>
      use(({ widget, element }) => {
        if (element.hidden) widget.open();
        else widget.toggle();
        element.hidden = false;
      }),
    hide: () => use(({ element }) => (element.hidden = true)),
    show: () =>
      use(({ widget, element }) => {
        element.hidden = false;
        widget.onChange();
      }),
    reset: () => use(({ widget }) => widget.reset()),
    identify: (identity) => use(({ widget }) => widget.identify(identity)),
    on: (event, listener) => {
      let stop: (() => void) | null = null;
      let isStopped = false;
      use(({ widget }) => {
        if (!isStopped) stop = widget.events.on(event, listener);
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
      for (const { widget } of running) widget.reset();
      // A page that resets first and starts then means the visitor whose session is stored.
      if (running.length === 0) withFirst(({ widget }) => widget.reset());
    },
    start: startFrom,
    widget: (publicKey: string) => {
      const find = (): Running | undefined => all().find(({ widget }) => widget.options.publicKey === publicKey);
      const use = (act: (running: Running) => void): void => {
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
  if (!customElements.get(TAG)) customElements.define(TAG, ChatRelayElement);
  const api = build();
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
