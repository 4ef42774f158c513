// Starts a widget for every embed snippet and every ChatRelay.start, and lets it follow the page's newest snippet.
import { tellOnConsole } from "../advice";
import type { ChatModule } from "../contract";
import { addressOf, loadsWidget, readStart, settingsFrom, settingsOf, type Settings } from "../options";
import { Entry } from "./entry";

/** So long a widget waits for its page to have loaded. */
const LOADED_WITHIN_MS = 5000;

/** Code may start a widget a moment after its script has run. Only then does a snippet without ids lack them. */
const EXPLAIN_AFTER_MS = 2000;

const running = new Map<string, Entry>();
const started = new WeakSet<HTMLScriptElement>();
const waiting: ((first: Entry) => void)[] = [];

/** Where the script came from, for what is started by code. */
let ownAddress = "";

let chat: ChatModule | null = null;
let onMethods: (names: readonly string[]) => void = () => undefined;

/** `listener` hears which methods the chat carries out, once it is there. */
export function whenChatComes(listener: (names: readonly string[]) => void): void {
  onMethods = listener;
}

export function all(): Entry[] {
  return [...running.values()];
}

/** Runs `run` with the first widget: now, or once there is one. */
export function withFirst(run: (first: Entry) => void): void {
  const [first] = all();
  if (first) run(first);
  else waiting.push(run);
}

/** Starts what the running script asks for. Where the browser does not say which script that is, starts what every script of the page asks for. */
export function startScripts(current: HTMLScriptElement | null): void {
  const scripts = [...document.querySelectorAll<HTMLScriptElement>("script[src]")].filter(loadsWidget);
  const own = current ?? scripts[0];
  if (ownAddress === "" && own) ownAddress = addressOf(own);
  const isComplete = (script: HTMLScriptElement): boolean => readStart(settingsOf(script)) !== null;
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
    tellOnConsole("ChatRelay.start needs tenantId and publicKey, and baseUrl unless the script is the relay's.");
  }
}

function start(settings: Settings, script: HTMLScriptElement | null): boolean {
  const options = readStart(settings);
  if (options === null) return false;
  const key = `${options.tenantId} ${options.publicKey}`;
  const known = running.get(key);
  if (known) {
    known.follow(settings, script);
    return true;
  }
  const entry = new Entry(options, settings, takeAll, () => running.delete(key));
  entry.follow(settings, script);
  running.set(key, entry);
  while (waiting.length > 0) waiting.shift()?.(entry);
  whenLoaded(() => (chat === null ? void entry.start() : entry.take(chat)));
  return true;
}

/** The chat has come: it takes every widget of the page, since they stand side by side. */
function takeAll(module: ChatModule): void {
  chat ??= module;
  onMethods(chat.METHODS);
  // In the order in which the launchers stand; one that fails stops no other.
  for (const entry of all().sort((one, other) => one.drawnAt - other.drawnAt)) {
    if (entry.host.isConnected) queueMicrotask(() => entry.take(module));
  }
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
    "The embed snippet needs src, data-tenant-id and data-public-key; where a tag manager strips them, widget.js?tenant_id=…&public_key=…. " +
      'Rocket Loader needs data-cfasync="false".',
  );
}
