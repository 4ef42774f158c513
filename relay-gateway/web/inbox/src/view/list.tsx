// A queue's conversations. Only the rows in view are in the page, so that ten thousand scroll as ten do.
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Inbox } from "../service";
import { ago, put } from "../text";
import { EyeIcon } from "./icons";
import { visitorName, type Queued } from "../model";

/** A row's height in pixels, as `style.css` has it. */
const ROW = 84;
/** Rows beyond the view, so that a fast scroll shows no gap. */
const SPARE = 6;
const SEARCH_AFTER_MS = 250;

export function List({ inbox, search }: { inbox: Inbox; search: RefObject<HTMLInputElement | null> }) {
  const { state, words: text } = inbox;
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const [now, setNow] = useState(Date.now());
  const timer = useRef(0);

  useEffect(() => {
    const ticking = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(ticking);
  }, []);

  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const look = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);

  const list = state.list ?? [];
  const first = Math.max(0, Math.floor(view.top / ROW) - SPARE);
  const last = Math.min(list.length, Math.ceil((view.top + view.height) / ROW) + SPARE);

  // More are loaded before the end is reached.
  useEffect(() => {
    if (state.next && last >= list.length - SPARE) void inbox.load(true);
  }, [state.next, last, list.length, inbox]);

  // What was selected by a key is scrolled into view.
  useEffect(() => {
    const at = list.findIndex((item) => item.id === state.selected);
    const element = scroller.current;
    if (at < 0 || !element) return;
    if (at * ROW < element.scrollTop) element.scrollTop = at * ROW;
    else if ((at + 1) * ROW > element.scrollTop + element.clientHeight) element.scrollTop = (at + 1) * ROW - element.clientHeight;
  }, [state.selected]);

  const typed = (value: string): void => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      // A queue that was chosen meanwhile has emptied the field.
      if (search.current?.value === value) inbox.show(value ? "all" : state.queue, value.trim());
    }, SEARCH_AFTER_MS) as unknown as number;
  };

  const nothing = state.search ? text.nothingFound : state.queue === "waiting" ? text.nothingWaiting : text.nothingHere;
  return (
    <section class="list" aria-label={text[state.queue]}>
      <div class="search">
        <input
          ref={search}
          type="search"
          aria-label={text.search}
          placeholder={text.search}
          onInput={(event) => typed(event.currentTarget.value)}
        />
      </div>
      <div class="rows" ref={scroller} aria-busy={state.list === null}>
        {state.list === null && <p class="quiet">{text.loading}</p>}
        {state.list !== null && list.length === 0 && <p class="quiet">{nothing}</p>}
        <ul style={{ height: `${list.length * ROW}px` }}>
          {list.slice(first, last).map((item, index) => (
            <Row key={item.id} inbox={inbox} item={item} top={(first + index) * ROW} now={now} />
          ))}
        </ul>
      </div>
    </section>
  );
}

function Row({ inbox, item, top, now }: { inbox: Inbox; item: Queued; top: number; now: number }) {
  const { state, words: text } = inbox;
  const name = visitorName(item, text.visitor);
  const since = item.handling === "waiting" ? item.waiting_since : item.last_message_at;
  const others = (state.onlookers[item.id] ?? []).filter((person) => person.operator_id !== inbox.operator);
  return (
    <li style={{ transform: `translateY(${top}px)` }}>
      <button
        type="button"
        class={`item ${item.unread > 0 ? "unread" : ""}`}
        aria-current={state.selected === item.id ? "true" : undefined}
        onClick={() => inbox.select(item.id)}
      >
        <span class={`dot ${item.handling}`} aria-hidden="true" />
        <span class="name" dir="auto">{name}</span>
        <time dateTime={since ?? ""}>{ago(since, text, now)}</time>
        <span class="preview" dir="auto">{item.last_message?.role === "bot" && `${text.bot}: `}{item.last_message?.content ?? ""}</span>
        <span class="under">
          <span class="chip">{item.handling === "assigned" && item.operator ? item.operator.display_name : text[item.handling]}</span>
          {item.rating && <span class="chip" role="img" aria-label={put(text.scoreOf, { score: item.rating.score })}>{item.rating.score} ★</span>}
          {item.routing_key && <span class="chip">{item.routing_key}</span>}
          {item.tags.slice(0, 2).map((tag) => <span class="chip" key={tag}>{tag}</span>)}
          {others.length > 0 && <span class="chip eye" title={put(text.alsoHere, { names: others.map((it) => it.display_name).join(", ") })}><EyeIcon /> {others.length}</span>}
        </span>
        {item.unread > 0 && (
          <span class="badge"><span aria-hidden="true">{item.unread}</span><span class="hidden">{put(text.unread, { n: item.unread })}</span></span>
        )}
      </button>
    </li>
  );
}
