// The marks in a message that people know: bold, italics, code, lists and links, as a tree. The view makes elements of it; nothing is ever
// parsed as HTML, and what is no mark stays as it was written.
import { linkTo, withLinks } from "./links";

export type Inline = string | { readonly tag: "strong" | "em" | "code"; readonly inner: readonly Inline[] } | { readonly url: string; readonly label: string };

export type Block =
  | { readonly kind: "text"; readonly inner: readonly Inline[] }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "list"; readonly start: number | null; readonly items: readonly (readonly Inline[])[] };

/** Where code begins and ends. More than three spaces, so that it may stand under an item. */
const FENCE = /^ {0,8}```[^`]*$/;
const FENCE_END = /^ {0,8}```\s*$/;
const ITEM = /^\s{0,8}(?:[-*+]|(\d{1,3})[.)])\s+(?=\S)/;
const HEADING = /^ {0,3}#{1,6}\s+(\S.*)$/s;

/** Letters that one pair of marks may stand around. */
const MOST_MARKED = 400;

/** More than anybody nests; marks further inside stay text. */
const DEEPEST = 4;

/** The message in blocks, in order. */
export function blocks(content: string): Block[] {
  const made: Block[] = [];
  const lines = content.split("\n");
  let text: string[] = [];
  const endText = (): void => {
    // Empty lines around a list or code are what separates it; within text they stay.
    const whole = text.join("\n").replace(/^\n+/, "").trimEnd();
    if (whole !== "") made.push({ kind: "text", inner: inline(whole) });
    text = [];
  };
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i] as string;
    if (FENCE.test(line)) {
      const end = lines.findIndex((other, at) => at > i && FENCE_END.test(other));
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
        if (FENCE.test(next)) break;
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
    text.push(heading?.[1] ? `**${heading[1].replace(/\*\*/g, "").trimEnd()}**` : line);
  }
  endText();
  return made;
}

/** The words without their marks, on one line. */
export function plainText(made: readonly Block[]): string {
  const words = (parts: readonly Inline[]): string =>
    parts.map((part) => (typeof part === "string" ? part : "tag" in part ? words(part.inner) : part.label)).join("");
  const texts = made.map((block) => (block.kind === "text" ? words(block.inner) : block.kind === "code" ? block.text : block.items.map(words).join(", ")));
  return texts.join(" ").replace(/\s+/g, " ").trim();
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
      // A row of backticks is one mark.
      const run = rest === "`" ? (/^`+/.exec(text.slice(i))?.[0] ?? rest) : rest;
      plain += run;
      i += run.length;
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

/**
 * `[label](https://…)`. A label that looks like an address says where the link leads too, unless it leads there. An image's is a link as
 * well, since pictures tell their server who looks.
 */
function link(text: string, at: number): Found | null {
  const match = /^!?\[([^[\]\n]{1,300})\]\((https:\/\/[^\s()]{1,2048}(?:\([^\s()]*\)[^\s()]*)?)\)/i.exec(text.slice(at, at + 2500));
  if (match === null) return null;
  const [whole, label = "", address = ""] = match;
  const target = linkTo(address);
  if (target === null) return null;
  const shown = label.replace(/(\*\*|\*|`)([^*`]+)\1/g, "$2").trim();
  const { host } = new URL(target.url);
  const honest = leadsElsewhere(shown, host) ? `${shown} (${host})` : shown;
  return shown === "" ? null : { inline: { url: target.url, label: honest }, end: at + whole.length };
}

/** Whether a label looks like the address of another host. Letters that are not seen, or look like others, do not hide it. */
function leadsElsewhere(label: string, host: string): boolean {
  const plain = label.normalize("NFKC").replace(/\p{Cf}/gu, "").replace(/[\u3002\uff61]/g, ".");
  if (!/[^\s.]\.[\p{L}\d]+|:\/\//u.test(plain)) return false;
  try {
    return new URL(/^https?:\/\//i.test(plain) ? plain : `https://${plain}`).host !== host;
  } catch {
    return true;
  }
}

function marked(text: string, at: number, depth: number, unclosed: Set<string>): Found | null {
  const mark = /^(?:`+|\*\*|__|\*|_)/.exec(text.slice(at, at + MOST_MARKED))?.[0];
  if (mark === undefined || unclosed.has(mark)) return null;
  const isCode = mark.startsWith("`");
  const begin = at + mark.length;
  if (!isCode && (!isStart(text, at) || /^\s?$/.test(text.charAt(begin)))) return null;
  const most = Math.min(text.length, begin + MOST_MARKED);
  for (let end = text.indexOf(mark, begin + 1); end !== -1 && end < most; end = text.indexOf(mark, end + 1)) {
    const after = end + mark.length;
    // A single mark does not close at the first of two.
    if (text.charAt(after) === mark.charAt(0) && (isCode || mark.length === 1)) {
      while (end < most && text.charAt(end) === mark.charAt(0)) end += 1;
      continue;
    }
    if (!isCode && (/\s|\\/.test(text.charAt(end - 1)) || !isEnd(text, after))) continue;
    const inner = text.slice(begin, end);
    if (isCode) return { inline: { tag: "code", inner: [inner.trim() || inner] }, end: after };
    return { inline: { tag: mark.length === 2 ? "strong" : "em", inner: inline(inner, depth + 1) }, end: after };
  }
  if (most === text.length) unclosed.add(mark);
  return null;
}

/** Whether a word may begin here: `snake_case_names` and 2*3*4 are no marks. */
function isStart(text: string, at: number): boolean {
  return at === 0 || !/[\p{L}\p{N}]/u.test(text.charAt(at - 1));
}

function isEnd(text: string, at: number): boolean {
  return !/[\p{L}\p{N}]/u.test(text.charAt(at));
}
