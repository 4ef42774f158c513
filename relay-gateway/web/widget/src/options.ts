// What the page asks for: the attributes of the script element, read in one place.
import { ROUTING_KEY_CHARS } from "@chat-relay/protocol/frames";
import { clean } from "@chat-relay/protocol/untrusted";
import { hexColour, position, type Position } from "./protocol";
import { canonical } from "./text";

export type Theme = "light" | "dark" | "auto";

/** Attributes which may change while the widget lives. */
export interface Appearance {
  /** As BCP 47 writes it. */
  readonly locale: string;
  /** Whether the page named the locale itself, or it was guessed from the document or browser. */
  readonly localeGiven: boolean;
  readonly position: Position | null;
  readonly theme: Theme;
  readonly colour: string | null;
}

export interface Options {
  readonly tenantId: string;
  readonly publicKey: string;
  /** The relay's address without `/api/v1` and without a trailing slash. */
  readonly baseUrl: string;
  readonly mode: "bot" | "human" | null;
  readonly routingKey: string | null;
  readonly open: boolean;
  readonly nonce: string | null;
}

export const LIVE_ATTRIBUTES = ["data-locale", "data-position", "data-theme", "data-color"];

export function readAppearance(script: HTMLScriptElement): Appearance {
  const { locale, position: side, theme, color } = script.dataset;
  return {
    locale: canonical(locale || document.documentElement.lang || navigator.language),
    localeGiven: Boolean(locale),
    position: position(side),
    theme: theme === "light" || theme === "dark" ? theme : "auto",
    colour: hexColour(color),
  };
}

/** The options, or `null` when the snippet lacks what no widget can do without. */
export function readOptions(script: HTMLScriptElement): Options | null {
  const { tenantId, publicKey, baseUrl, mode, routingKey, open, nonce } = script.dataset;
  const base = relayBase(baseUrl || script.src.replace(/[?#].*$/, "").replace(/\/widget\.js$/, ""));
  if (!tenantId || !publicKey || base === null) return null;
  return {
    tenantId: tenantId.trim(),
    publicKey: publicKey.trim(),
    baseUrl: base,
    mode: mode === "bot" || mode === "human" ? mode : null,
    routingKey: routingKey ? clean(routingKey, ROUTING_KEY_CHARS) : null,
    open: open !== undefined && open !== "false",
    nonce: nonce || script.nonce || null,
  };
}

function relayBase(address: string): string | null {
  try {
    const url = new URL(address, document.baseURI);
    if (!/^https?:$/.test(url.protocol)) return null;
    return (url.origin + url.pathname).replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  } catch {
    return null;
  }
}
