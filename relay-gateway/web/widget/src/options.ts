// What the page asks for: attributes of the script element, parameters of its address, or fields given to ChatRelay.start, read in one place.
import { ROUTING_KEY_CHARS } from "@chat-relay/protocol/frames";
import { clean } from "@chat-relay/protocol/untrusted";
import { hexColour, position, type Position } from "./protocol";
import { canonical, documentLocale } from "./locale";

export type Theme = "light" | "dark" | "auto";

/** What may change while the widget lives, as far as the launcher shows it. */
export interface LauncherAppearance {
  /** As BCP 47 writes it. */
  readonly locale: string;
  /** Whether the page named the locale itself, or it was guessed from the document or browser. */
  readonly localeGiven: boolean;
  readonly position: Position | null;
  readonly theme: Theme;
  readonly colour: string | null;
  /** Whether there is a launcher. Without one, the page opens the chat. */
  readonly launcher: boolean;
  /** A selector of the page's element that the chat stands in, always open; `null`: it floats in a corner. */
  readonly container: string | null;
  /** How far from the window's edges it stands, in CSS pixels; `null` where the page's style sheet may say so. */
  readonly offsetX: number | null;
  readonly offsetY: number | null;
}

export interface Appearance extends LauncherAppearance {
  /** Whether the page's title counts unread messages while the visitor looks at another tab. */
  readonly titleCount: boolean;
}

/** What the loader needs to know of them. */
export interface Start {
  readonly tenantId: string;
  readonly publicKey: string;
  /** The relay's address without `/api/v1` and without a trailing slash. */
  readonly baseUrl: string;
  readonly open: boolean;
  readonly nonce: string | null;
}

export interface Options extends Start {
  readonly mode: "bot" | "human" | null;
  readonly routingKey: string | null;
}

/** Settings by the names that `dataset` gives them: `tenantId` for `data-tenant-id`. */
export type Settings = Readonly<Record<string, string | undefined>>;

const MOST_OFFSET_PX = 2000;

/** The script's attributes, and the parameters of its address where a tag manager has stripped the attributes. */
export function settingsOf(script: HTMLScriptElement): Settings {
  const settings: Record<string, string | undefined> = {};
  const query = /\?([^#]*)/.exec(script.src)?.[1] ?? "";
  new URLSearchParams(query).forEach((value, name) => (settings[settingName(name)] = value));
  const nonce = script.nonce || undefined;
  return { nonce, ...settings, ...script.dataset, baseUrl: script.dataset.baseUrl || settings.baseUrl || addressOf(script) };
}

/** Settings as a page's code gives them: by either spelling, booleans and numbers too. */
export function settingsFrom(fields: Readonly<Record<string, unknown>>, baseUrl: string): Settings {
  const settings: Record<string, string | undefined> = { baseUrl };
  for (const name of Object.keys(fields)) {
    const value = fields[name];
    if (value !== undefined && value !== null) settings[settingName(name)] = String(value);
  }
  return settings;
}

/** Whether a script element loads the widget. */
export function loadsWidget(script: HTMLScriptElement): boolean {
  return /\/widget\.js([?#]|$)/.test(script.src);
}

/** The relay's address, taken from the script's. */
export function addressOf(script: HTMLScriptElement): string {
  return script.src.replace(/[?#].*$/, "").replace(/\/widget\.js$/, "");
}

export function readAppearance(settings: Settings): Appearance {
  return { ...readLauncher(settings), titleCount: settings.titleCount !== "none" && settings.titleCount !== "false" };
}

export function readLauncher(settings: Settings): LauncherAppearance {
  const { locale, theme } = settings;
  return {
    locale: locale ? canonical(locale) : documentLocale(),
    localeGiven: Boolean(locale),
    position: position(settings.position),
    theme: theme === "light" || theme === "dark" ? theme : "auto",
    colour: hexColour(settings.color),
    launcher: settings.launcher !== "none" && settings.launcher !== "false",
    container: settings.container?.trim() || null,
    offsetX: pixels(settings.offsetX),
    offsetY: pixels(settings.offsetY),
  };
}

export function readOptions(settings: Settings): Options | null {
  const { mode, routingKey } = settings;
  const start = readStart(settings);
  return start && { ...start, mode: mode === "bot" || mode === "human" ? mode : null, routingKey: routingKey ? clean(routingKey, ROUTING_KEY_CHARS) : null };
}

/** `null` where the settings lack what no widget can do without. */
export function readStart(settings: Settings): Start | null {
  const { tenantId, publicKey, open, nonce } = settings;
  const base = relayBase(settings.baseUrl ?? "");
  if (!tenantId || !publicKey || base === null) return null;
  return {
    tenantId: tenantId.trim(),
    publicKey: publicKey.trim(),
    baseUrl: base,
    open: open !== undefined && open !== "false",
    nonce: nonce || null,
  };
}

/** `tenant_id`, `tenant-id` and `data-tenant-id` are `tenantId`. */
function settingName(name: string): string {
  return name.replace(/^data-/, "").replace(/[-_](.)/g, (_, letter: string) => letter.toUpperCase());
}

function pixels(value: string | undefined): number | null {
  const number = Number.parseFloat(value ?? "");
  return number >= 0 && number <= MOST_OFFSET_PX ? number : null;
}

function relayBase(address: string): string | null {
  try {
    const url = new URL(address, document.baseURI);
    if (address === "" || !/^https?:$/.test(url.protocol)) return null;
    return (url.origin + url.pathname).replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  } catch {
    return null;
  }
}
