// Starts a widget for every embed snippet, and gives the page window.ChatRelay.
// The long texts come first, so that all code is near other code: gzip looks no further back than 32 KiB.
import "./view/stylesheet";
import "./text";
import "./advice";
import { ChatRelayElement, TAG } from "./element";
import type { EventName, Listener } from "./events";
import { LIVE_ATTRIBUTES, readAppearance, readOptions } from "./options";
import { Widget } from "./widget";

interface Handle {
  open(): void;
  close(): void;
  toggle(): void;
  on<K extends EventName>(event: K, listener: Listener<K>): () => void;
}

interface ChatRelay extends Handle {
  /** The widget with this public key, or `null`. */
  widget(publicKey: string): Handle | null;
}

interface Window {
  ChatRelay?: ChatRelay & { readonly [START]?: (script: HTMLScriptElement | null) => void };
}

/** Where a second copy of this file finds the first, which then serves both snippets. */
const START = Symbol.for("chat-relay.start");

const widgets = new Map<string, Widget>();
const started = new WeakSet<HTMLScriptElement>();

function start(current: HTMLScriptElement | null): void {
  const scripts = current?.dataset.publicKey
    ? [current]
    : [...document.querySelectorAll<HTMLScriptElement>("script[data-public-key]")].filter((script) =>
        /\/widget\.js([?#]|$)/.test(script.src),
      );
  const fresh = scripts.filter((script) => !started.has(script));
  if (scripts.length === 0) explainSnippet();
  for (const script of fresh) {
    started.add(script);
    startOne(script);
  }
}

function startOne(script: HTMLScriptElement): void {
  const options = readOptions(script);
  if (options === null) {
    explainSnippet();
    return;
  }
  const key = `${options.tenantId} ${options.publicKey}`;
  if (widgets.has(key)) return;

  const widget = new Widget(options, readAppearance(script));
  const element = document.createElement(TAG) as ChatRelayElement;
  const attributes = new MutationObserver(() => {
    widget.patch({ appearance: readAppearance(script) });
  });
  attributes.observe(script, { attributeFilter: LIVE_ATTRIBUTES });
  widgets.set(key, widget);
  element.attach(widget, () => {
    attributes.disconnect();
    widgets.delete(key);
  });
  whenBody(() => {
    document.body.append(element);
    void widget.start();
  });
}

function whenBody(run: () => void): void {
  if (document.body) run();
  else document.addEventListener("DOMContentLoaded", run, { once: true });
}

function explainSnippet(): void {
  console.error(
    "[chat-relay] The embed snippet is incomplete: its script element needs src, data-tenant-id and data-public-key.",
  );
}

function handle(find: () => Widget | undefined): Handle {
  return {
    open: () => find()?.open(),
    close: () => find()?.close(),
    toggle: () => find()?.toggle(),
    on: (event, listener) => find()?.events.on(event, listener) ?? (() => undefined),
  };
}

function boot(): void {
  const current = document.currentScript instanceof HTMLScriptElement ? document.currentScript : null;
  const page = window as unknown as Window;
  const existing = page.ChatRelay;
  if (existing !== undefined) {
    if (existing[START]) existing[START](current);
    else console.error("[chat-relay] window.ChatRelay is taken by another script: the widget was not started.");
    return;
  }
  if (!customElements.get(TAG)) customElements.define(TAG, ChatRelayElement);
  const all = (): Widget[] => [...widgets.values()];
  const api: ChatRelay = {
    ...handle(() => all()[0]),
    widget: (publicKey) => {
      const find = (): Widget | undefined => all().find((widget) => widget.options.publicKey === publicKey);
      return find() ? handle(find) : null;
    },
  };
  Object.defineProperty(api, START, { value: start });
  page.ChatRelay = api;
  start(current);
}

try {
  boot();
} catch (failure) {
  console.error("[chat-relay] The widget could not start:", failure);
}
