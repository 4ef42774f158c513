// The marks in a message that people know: bold, italics, code, lists and links, as a tree. The view makes elements of it; nothing is ever
// parsed as HTML, and what is no mark stays as it was written.
import { linkTo, withLinks } from "./links";

export type Inline = string | { readonly tag: "strong" | "em" | "code"; readonly inner: readonly Inline[] } | { readonly url: string; readonly label: string };

export type Block =
  | { readonly kind: "text"; readonly inner: readonly Inline[] }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "list"; readonly start: number | null; readonly items: readonly (readonly Inline[])[] };

const FENCE = /^ {0,3}```/;
const ITEM = /^\s{0,8}(?:[-*+]|(\d{1,3})[.)])\s+(?=\S)/;
const HEADING = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/;

/** More than anybody nests; marks further inside stay text. */
const DEEPEST = 4;

/** The message in blocks, in order. */
export function blocks(content: string): Block[] {
  const made: Block[] = [];
  const lines = content.split("\n");
  let text: string[] = [];
  const endText = (): void => {
    // Empty lines around a list or code are what separates it; within text they stay.
    const whole = text.join("\n").replace(/^\n+|\s+$/g, "");
    if (whole !== "") made.push({ kind: "text", inner: inline(whole) });
    text = [];
  };
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i] as string;
    if (FENCE.test(line)) {
      const end = lines.findIndex((other, at) => at > i && FENCE.test(other));
      if (end !== -1) {
        endText();
        made.push({ kind: "code", text: lines.slice(i + 1, end).join("\n") });
        i = end;
        continue;
      }
    }
    const item = ITEM.exec(line);
    if (item !== null) {
      endText();
      const isOrdered = item[1] !== undefined;
      const items: string[] = [];
      for (; i < lines.length; i += 1) {
        const next = lines[i] as string;
        const mark = ITEM.exec(next);
        if (mark !== null && (mark[1] !== undefined) === isOrdered) items.push(next.slice(mark[0].length));
        else if (mark === null && /^\s+\S/.test(next)) items.push(`${items.pop() ?? ""}\n${next.trim()}`);
        else break;
      }
      i -= 1;
      made.push({ kind: "list", start: isOrdered ? Number(item[1]) : null, items: items.map((each) => inline(each.trimEnd())) });
      continue;
    }
    const heading = HEADING.exec(line);
    text.push(heading?.[1] ? `**${heading[1].replace(/\*\*/g, "")}**` : line);
  }
  endText();
  return made;
}

function inline(text: string, depth = 0): Inline[] {
  const made: Inline[] = [];
  let plain = "";
  const endPlain = (): void => {
    made.push(...withLinks(plain));
    plain = "";
  };
  // A mark that closes nowhere in the rest is not looked for again: else many of them would take long.
  const unclosed = new Set<string>();
  for (let i = 0; i < text.length; ) {
    const rest = text.charAt(i);
    if (rest === "\\" && /[!-/:-@[-`{-~]/.test(text.charAt(i + 1))) {
      plain += text.charAt(i + 1);
      i += 2;
      continue;
    }
    const address = rest === "h" && isStart(text, i) ? /^https?:\/\/\S+/i.exec(text.slice(i, i + 2100)) : null;
    if (address !== null) {
      // Underscores and stars in an address are no marks.
      plain += address[0];
      i += address[0].length;
      continue;
    }
    const found = rest === "[" || rest === "!" ? link(text, i) : depth < DEEPEST ? marked(text, i, depth, unclosed) : null;
    if (found === null) {
      plain += rest;
      i += 1;
      continue;
    }
    endPlain();
    made.push(found.inline);
    i = found.end;
  }
  endPlain();
  return made;
}

interface Found {
  readonly inline: Inline;
  readonly end: number;
}

/** `[label](https://…)`, unless the label looks like another address; an image's is a link too, since pictures tell their server who looks. */
function link(text: string, at: number): Found | null {
  const match = /^!?\[([^[\]\n]{1,300})\]\((https:\/\/[^\s()]{1,2048}(?:\([^\s()]*\)[^\s()]*)?)\)/i.exec(text.slice(at, at + 2500));
  if (match === null) return null;
  const [whole, label = "", address = ""] = match;
  const target = linkTo(address);
  if (target === null) return null;
  const shown = label.replace(/[*_`\\]/g, "").trim();
  const { host } = new URL(target.url);
  if (shown === "" || (/[^\s.]\.[\p{L}]{2,}|:\/\//u.test(shown) && !shown.toLowerCase().includes(host))) return null;
  return { inline: { url: target.url, label: shown }, end: at + whole.length };
}

function marked(text: string, at: number, depth: number, unclosed: Set<string>): Found | null {
  const mark = /^(?:`|\*\*|__|\*|_)/.exec(text.slice(at, at + 2))?.[0];
  if (mark === undefined || unclosed.has(mark)) return null;
  const begin = at + mark.length;
  if (mark !== "`" && (!isStart(text, at) || /^\s?$/.test(text.charAt(begin)))) return null;
  for (let end = text.indexOf(mark, begin + 1); end !== -1; end = text.indexOf(mark, end + 1)) {
    const isClosing = mark === "`" || (/\S/.test(text.charAt(end - 1)) && text.charAt(end - 1) !== "\\" && isEnd(text, end + mark.length));
    // A single star does not close at the first of two.
    const isOfTwo = mark.length === 1 && mark !== "`" && text.charAt(end + 1) === mark;
    if (isOfTwo) {
      end += 1;
      continue;
    }
    if (!isClosing) continue;
    const inner = text.slice(begin, end);
    const tag = mark === "`" ? "code" : mark.length === 2 ? "strong" : "em";
    return { inline: { tag, inner: mark === "`" ? [inner] : inline(inner, depth + 1) }, end: end + mark.length };
  }
  unclosed.add(mark);
  return null;
}

/** Whether a word may begin here: `snake_case_names` and 2*3*4 are no marks. */
function isStart(text: string, at: number): boolean {
  return at === 0 || !/[\p{L}\p{N}]/u.test(text.charAt(at - 1));
}

function isEnd(text: string, at: number): boolean {
  return !/[\p{L}\p{N}]/u.test(text.charAt(at));
}
