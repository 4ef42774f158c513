// Finds web addresses in message text, so that the view can build links without ever parsing HTML.
import { webUrl } from "@chat-relay/protocol/untrusted";

export interface Link {
  readonly label: string;
  readonly url: string;
}

export type Piece = string | Link;

/**
 * An address is ASCII without spaces, quotation marks and angle brackets, and letters of any script. Everything else ends it: the punctuation
 * of other scripts, which ends sentences and brackets, and what is not seen (bidi and zero-width marks), which could hide where a link leads.
 */
const ADDRESS = /https?:\/\/(?:[!#-;=?-_a-~]|(?![\p{P}\p{Z}\p{C}])[^\0-\x7f])+/giu;

/** The text in pieces, in order; their labels joined are the text again, but for hosts, which are shown as the browser spells them. */
export function withLinks(content: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of content.matchAll(ADDRESS)) {
    const start = match.index ?? 0;
    const address = withoutPunctuation(match[0]);
    const link = linkTo(address);
    if (link === null) continue;
    if (start > end) pieces.push(content.slice(end, start));
    pieces.push(link);
    end = start + address.length;
  }
  if (end < content.length) pieces.push(content.slice(end));
  return pieces;
}

/** Sentences end after links, and links stand in brackets: neither belongs to the address. */
function withoutPunctuation(address: string): string {
  let rest = address;
  for (;;) {
    const last = rest.slice(-1);
    const opening = { ")": "(", "]": "[", "}": "{" }[last];
    const isLoose = opening === undefined ? /[.,;:!?'*_]/.test(last) : rest.split(last).length > rest.split(opening).length;
    if (!isLoose) return rest;
    rest = rest.slice(0, -1);
  }
}

/** `null` for what is no address, or names a user: `https://bank.example@evil.example` leads elsewhere than it looks. */
export function linkTo(address: string): Link | null {
  const url = webUrl(address);
  if (url === null) return null;
  const { host, protocol, username, password } = new URL(url);
  if (username !== "" || password !== "") return null;
  const [start = "", authority = ""] = /^https?:\/\/([^/?#\\]*)/i.exec(address) ?? [];
  if (authority.includes("@")) return null;
  // A host of another script may look like a known one, and numbers may be written in many ways.
  const label = authority.toLowerCase() === host ? address : `${protocol}//${host}${address.slice(start.length)}`;
  return { label, url };
}
