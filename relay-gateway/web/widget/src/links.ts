// Finds web addresses in message text, so that the view can build links without ever parsing HTML.
import { webUrl } from "@chat-relay/protocol/untrusted";

export type Piece = string | { readonly label: string; readonly url: string };

const ADDRESS = /https?:\/\/[^\s<>"“”«»]+/gi;

/** The text in pieces, in order; their labels joined are the text again. */
export function withLinks(content: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of content.matchAll(ADDRESS)) {
    const start = match.index ?? 0;
    const label = withoutPunctuation(match[0]);
    const url = webUrl(label);
    if (url === null) continue;
    if (start > end) pieces.push(content.slice(end, start));
    pieces.push({ label, url });
    end = start + label.length;
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
    const isLoose = opening === undefined ? /[.,;:!?'’*_…]/.test(last) : rest.split(last).length > rest.split(opening).length;
    if (!isLoose) return rest;
    rest = rest.slice(0, -1);
  }
}
