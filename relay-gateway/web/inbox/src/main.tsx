// The inbox begins. The token is erased from the URL before the page draws or calls anything.
import { claims, keep, kept, replacesAnother, takeFromUrl } from "./token";
const given = takeFromUrl();
import { render } from "preact";
import { Inbox } from "./service";
import { language, put, words } from "./text";
import { App } from "./view/app";
import { Ask, Ended } from "./view/notices";
import "./style.css";

const root = document.getElementById("inbox") as HTMLElement;
const text = words(language());
document.documentElement.lang = language();
document.title = text.inbox;

let current: Inbox | null = null;

function open(token: string): void {
  current?.leave();
  keep(token);
  current = new Inbox(token, text);
  render(<App key={token} inbox={current} />, root);
  void current.begin();
}

function begin(given: string | null): void {
  const before = kept();
  // A link that was cut short leaves a good token in its place.
  if (given === null || (claims(given) === null && before !== null)) {
    if (before === null) render(<Ended text={text} why="no_token" />, root);
    else open(before);
    return;
  }
  if (before === null || !replacesAnother(given, before)) return open(given);
  current?.leave();
  const name = (token: string): string => claims(token)?.display_name ?? "?";
  const body = put(text.replaceBody, { before: name(before), after: name(given) });
  render(<Ask text={text} body={body} yes={() => open(given)} no={() => open(before)} />, root);
}

// A link that is opened in the tab of an inbox changes the fragment alone.
addEventListener("hashchange", () => {
  const next = takeFromUrl();
  if (next !== null) begin(next);
});

begin(given);
