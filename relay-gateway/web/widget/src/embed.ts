// Starts a widget for every embed snippet and every ChatRelay.start, and lets it follow the page's newest snippet.
import { tellOnConsole } from "./advice";
import { ChatRelayElement, TAG } from "./element";
import {
  LIVE_ATTRIBUTES,
  addressOf,
  loadsWidget,
  readAppearance,
  readOptions,
  settingsFrom,
  settingsOf,
  type Settings,
} from "./options";
import { isolate } from "./view/isolation";
import { Widget } from "./widget";

/** One widget in the page. */
export interface Running {
  readonly widget: Widget;
  readonly element: ChatRelayElement;
  /** Takes its looks from another snippet, as a router puts one into each page. */
  follow(settings: Settings, script: HTMLScriptElement | null): void;
}

/** So long a widget waits for its page to have loaded. */
const LOADED_WITHIN_MS = 5000;

/** Code may start a widget a moment after its script has run. Only then does a snippet without ids lack them. */
const EXPLAIN_AFTER_MS = 2000;

const running = new Map<string, Running>();
const started = new WeakSet<HTMLScriptElement>();
const waiting: ((first: Running) => void)[] = [];

/** Where the script came from, for what is started by code. */
let ownAddress = "";

export function all(): Running[] {
  return [...running.values()];
}

/** Runs `run` with the first widget: now, or once there is one. */
export function withFirst(run: (first: Running) => void): void {
  const [first] = all();
  if (first) run(first);
  else waiting.push(run);
}

/** Starts what the running script asks for. Where the browser does not say which script that is, starts what every script of the page asks for. */
export function startScripts(current: HTMLScriptElement | null): void {
  const scripts = [...document.querySelectorAll<HTMLScriptElement>("script[src]")].filter(loadsWidget);
  const own = current ?? scripts[0];
  if (ownAddress === "" && own) ownAddress = addressOf(own);
  const isComplete = (script: HTMLScriptElement): boolean => readOptions(settingsOf(script)) !== null;
  const found = current && isComplete(current) ? [current] : scripts.filter(isComplete);
  for (const script of found) {
    if (started.has(script)) continue;
    started.add(script);
    start(settingsOf(script), script);
  }
  if (found.length === 0) window.setTimeout(() => running.size === 0 && explain(), EXPLAIN_AFTER_MS);
}

/** Starts what a page's code asks for. */
export function startFrom(fields: unknown): void {
  const given = typeof fields === "object" && fields !== null ? (fields as Readonly<Record<string, unknown>>) : {};
  if (!start(settingsFrom(given, ownAddress), null)) {
    tellOnConsole("ChatRelay.start needs tenantId and publicKey, and baseUrl where the script did not come from the relay.");
  }
}

function start(settings: Settings, script: HTMLScriptElement | null): boolean {
  const options = readOptions(settings);
  if (options === null) return false;
  const key = `${options.tenantId} ${options.publicKey}`;
  const known = running.get(key);
  if (known) {
    known.follow(settings, script);
    return true;
  }
  const widget = new Widget(options, readAppearance(settings));
  const element = document.createElement(TAG) as ChatRelayElement;
  isolate(element);
  let attributes: MutationObserver | null = null;
  const follow = (newest: Settings, from: HTMLScriptElement | null): void => {
    attributes?.disconnect();
    attributes = null;
    widget.dress(readAppearance(newest));
    if (from === null) return;
    attributes = new MutationObserver(() => widget.dress(readAppearance(settingsOf(from))));
    attributes.observe(from, { attributeFilter: LIVE_ATTRIBUTES });
  };
  follow(settings, script);
  const entry = { widget, element, follow };
  running.set(key, entry);
  element.attach(widget, () => {
    attributes?.disconnect();
    running.delete(key);
  });
  while (waiting.length > 0) waiting.shift()?.(entry);
  whenLoaded(() => {
    element.mount();
    void widget.start();
  });
  return true;
}

/**
 * Runs `run` once the page has loaded, or after some seconds. Frameworks that hydrate a whole document (React 18) render it anew if they find an
 * element that the server did not send, and they hydrate before the page has loaded.
 */
function whenLoaded(run: () => void): void {
  let hasRun = false;
  const once = (): void => {
    if (hasRun || !document.body) return;
    hasRun = true;
    run();
  };
  if (document.readyState === "complete") once();
  window.addEventListener("load", once, { once: true });
  window.setTimeout(once, LOADED_WITHIN_MS);
}

function explain(): void {
  tellOnConsole(
    "The embed snippet is incomplete: its script element needs src, data-tenant-id and data-public-key. Where a tag manager strips the " +
      'attributes, put them into the address: widget.js?tenant_id=…&public_key=…. Cloudflare\'s Rocket Loader needs data-cfasync="false".',
  );
}
