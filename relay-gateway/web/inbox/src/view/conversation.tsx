// One conversation: what was said, who else is here, and what the operator does with it.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Inbox } from "../service";
import { put } from "../text";
import { visitorName, type Entry, type Opened } from "../model";
import { Composer } from "./composer";
import { Actions } from "./actions";
import { BackIcon, DetailsIcon } from "./icons";

interface Props {
  inbox: Inbox;
  composer: RefObject<HTMLTextAreaElement | null>;
  composing: "reply" | "note";
  setComposing: (what: "reply" | "note") => void;
  toggleDetails: () => void;
  showsDetails: boolean;
}

export function ConversationView(props: Props) {
  const { inbox, toggleDetails, showsDetails } = props;
  const { state, words: text } = inbox;
  const opened = state.opened;
  const place = useRef<HTMLElement | null>(null);

  // In one column the row that had the focus is hidden now.
  useEffect(() => {
    if (state.selected && matchMedia("(max-width: 759px)").matches) place.current?.focus();
  }, [state.selected, opened?.id]);

  if (!state.selected) {
    return (
      <main class="conversation empty">
        <p class="quiet"><strong>{text.choose}</strong><br />{text.chooseHint}</p>
      </main>
    );
  }
  if (!opened) return <main class="conversation empty" aria-busy="true"><p class="quiet">{text.loading}</p></main>;
  const others = (state.onlookers[opened.id] ?? []).filter((person) => person.operator_id !== inbox.operator);
  return (
    <main class="conversation" ref={place} tabIndex={-1} aria-label={visitorName(opened, text.visitor)}>
      <div class="head">
        <button type="button" class="icon back" aria-label={text.back} onClick={() => inbox.select(null)}><BackIcon /></button>
        <div class="who">
          <h2 dir="auto">{visitorName(opened, text.visitor)}</h2>
          <p>
            <span class={`dot ${opened.handling}`} aria-hidden="true" />
            {opened.handling === "assigned" && opened.operator ? opened.operator.display_name : text[opened.handling]}
            {others.length > 0 && <span class="others"> · {put(text.alsoHere, { names: others.map((it) => it.display_name).join(", ") })}</span>}
          </p>
        </div>
        <Actions inbox={inbox} opened={opened} />
        <button type="button" class="icon" aria-label={text.details} aria-pressed={showsDetails} onClick={toggleDetails}><DetailsIcon /></button>
      </div>
      <Log inbox={inbox} opened={opened} />
      <Composer {...props} opened={opened} />
    </main>
  );
}

function Log({ inbox, opened }: { inbox: Inbox; opened: Opened }) {
  const { state, words: text } = inbox;
  const log = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const heightBefore = useRef(0);
  const topBefore = useRef(0);
  const content = useRef<HTMLDivElement>(null);
  const first = state.entries[0]?.id;
  const isTyping = state.typing !== null && state.typing.until > Date.now();
  const lastMine = state.entries.filter((entry) => entry.role === "agent" && !entry.internal).at(-1);
  const isSeen = lastMine !== undefined && (opened.visitor_read_up_to ?? "") >= lastMine.id;

  useEffect(() => {
    isAtEnd.current = true;
  }, [opened.id]);

  // The end stays in view, and so does what was in view when earlier messages come.
  useLayoutEffect(() => {
    const element = log.current;
    if (!element) return;
    if (isAtEnd.current) element.scrollTop = element.scrollHeight;
    else element.scrollTop += element.scrollHeight - heightBefore.current;
  }, [first]);
  useLayoutEffect(() => {
    const element = log.current;
    if (!element) return;
    if (isAtEnd.current) element.scrollTop = element.scrollHeight;
    heightBefore.current = element.scrollHeight;
  }, [state.entries, state.pending, isTyping]);

  // Whatever changes its height, the composer, the window, or a line in the log: the end stays in view.
  useEffect(() => {
    const [element, within] = [log.current, content.current];
    if (!element || !within) return;
    const observer = new ResizeObserver(() => {
      if (isAtEnd.current) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    observer.observe(within);
    return () => observer.disconnect();
  }, []);

  const scrolled = (): void => {
    const element = log.current;
    if (!element) return;
    const { scrollTop, scrollHeight, clientHeight } = element;
    // Only a person scrolls up: a height that changed leaves the place as it was.
    if (scrollHeight - scrollTop - clientHeight < 60) isAtEnd.current = true;
    else if (scrollTop < topBefore.current) isAtEnd.current = false;
    topBefore.current = scrollTop;
    heightBefore.current = scrollHeight;
  };

  return (
    <div class="log" ref={log} role="log" aria-live="polite" tabIndex={0} aria-label={text.all} onScroll={scrolled}>
      <div class="content" ref={content}>
        {!state.complete && (
          <button type="button" class="earlier" onClick={() => void inbox.loadEntries(opened.id, true)}>{text.earlier}</button>
        )}
        {state.entries.map((entry, index) => (
          <Bubble key={entry.id} inbox={inbox} entry={entry} before={state.entries[index - 1]} isSeen={isSeen && entry === lastMine} />
        ))}
        {state.pending.filter((it) => it.conversation_id === opened.id).map((pending) => (
          <div class="bubble agent pending" key={pending.client_id}>
            <p dir="auto">{pending.content}</p>
            <p class="meta">
              {pending.state === "sending" ? text.sending : [text.notSent, pending.why].filter(Boolean).join(": ")}{" "}
              {pending.state !== "sending" && (
                <button type="button" class="link" onClick={() => inbox.sendAgain(pending)}>{text.tryAgain}</button>
              )}{" "}
              {pending.state === "refused" && (
                <button type="button" class="link" onClick={() => inbox.discard(pending)}>{text.discard}</button>
              )}
            </p>
          </div>
        ))}
        {isTyping && state.typing && (
          <p class="typing">{state.typing.who ? put(text.isTyping, { name: state.typing.who.display_name }) : text.visitorTyping}</p>
        )}
      </div>
    </div>
  );
}

interface BubbleProps {
  inbox: Inbox;
  entry: Entry;
  before: Entry | undefined;
  /** Whether to say that the visitor has read up to here. */
  isSeen: boolean;
}

function Bubble({ inbox, entry, before, isSeen }: BubbleProps) {
  const { state, words: text } = inbox;
  const time = new Date(entry.created_at);
  const isNewDay = !before || new Date(before.created_at).toDateString() !== time.toDateString();
  const isMine = entry.operator_id !== null && entry.operator_id === inbox.operator;
  const colleague = state.colleagues.find((it) => it.operator_id === entry.operator_id)?.display_name;
  const who =
    entry.role === "visitor" ? "" : entry.role === "bot" ? text.bot : entry.role === "system" ? "" : isMine ? text.you : (entry.operator_name ?? colleague ?? "");
  const clock = time.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" });
  return (
    <>
      {isNewDay && <p class="day">{time.toLocaleDateString(document.documentElement.lang, { dateStyle: "full" })}</p>}
      <div class={`bubble ${entry.role} ${entry.internal ? "internal" : ""}`}>
        {entry.internal && <p class="meta"><strong>{text.note}</strong></p>}
        <p dir="auto">{entry.content}</p>
        {entry.attachments.map((file) => (
          <p key={file.url}><a href={file.url} target="_blank" rel="noopener noreferrer">{file.name ?? file.mime}</a></p>
        ))}
        {entry.citations.length > 0 && (
          <p class="meta">{put(text.from, { titles: [...new Set(entry.citations.map((it) => it.title))].join(", ") })}</p>
        )}
        {entry.feedback && entry.feedback !== "asked" && <p class="meta">{text[entry.feedback]}</p>}
        <p class="meta">{[who, clock].filter(Boolean).join(" · ")}</p>
      </div>
      {isSeen && <p class="seen">{text.seen}</p>}
    </>
  );
}
