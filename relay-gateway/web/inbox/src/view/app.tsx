// The inbox: queues, a list, a conversation, and a panel beside it.
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import type { Inbox } from "../service";
import { QUEUES, type Queue } from "../model";
import { ConversationView } from "./conversation";
import { Details } from "./details";
import { Keys } from "./keys";
import { List } from "./list";
import { Menu } from "./menu";
import { Ended } from "./notices";

export function App({ inbox }: { inbox: Inbox }) {
  const [, changed] = useReducer((count: number) => count + 1, 0);
  const [showsKeys, setShowsKeys] = useState(false);
  const [showsDetails, setShowsDetails] = useState(() => matchMedia("(min-width: 1100px)").matches);
  const [composing, setComposing] = useState<"reply" | "note">("reply");
  const search = useRef<HTMLInputElement>(null);
  const composer = useRef<HTMLTextAreaElement>(null);
  const { state, words: text } = inbox;
  const showQueue = (queue: Queue): void => {
    if (search.current) search.current.value = "";
    inbox.show(queue);
  };

  useEffect(() => inbox.subscribe(() => changed(undefined)), [inbox]);

  useEffect(() => {
    const waiting = state.counts?.waiting ?? 0;
    document.title = waiting ? `(${waiting}) ${text.inbox}` : text.inbox;
  }, [state.counts, text]);

  // A layout effect runs before the next key press. Otherwise a key that is pressed as the list of keys closes would be lost.
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target as HTMLElement;
      const isWriting = target.matches("input, textarea, select");
      if (event.key === "Escape") {
        if (showsKeys) setShowsKeys(false);
        else if (isWriting) target.blur();
        else inbox.select(null);
        return;
      }
      if (isWriting || showsKeys) return;
      const { list, selected, opened } = inbox.state;
      const at = list?.findIndex((item) => item.id === selected) ?? -1;
      const go = (to: number): void => {
        const item = list?.[to];
        if (item) inbox.select(item.id);
      };
      const isResolved = opened?.handling === "resolved";
      const acts: Record<string, () => void> = {
        j: () => go(at + 1),
        ArrowDown: () => go(at + 1),
        k: () => go(Math.max(0, at - 1)),
        ArrowUp: () => go(Math.max(0, at - 1)),
        Enter: () => (selected ? composer.current?.focus() : go(0)),
        c: () => void inbox.change("claim"),
        r: () => void inbox.change("release"),
        b: () => void inbox.change("hand-back"),
        e: () => void inbox.change(isResolved ? "reopen" : "resolve"),
        n: () => {
          setComposing("note");
          composer.current?.focus();
        },
        d: () => setShowsDetails((shown) => !shown),
        "/": () => search.current?.focus(),
        "?": () => setShowsKeys(true),
      };
      const queue = QUEUES[Number(event.key) - 1];
      const act = acts[event.key] ?? (queue && (() => showQueue(queue)));
      // A button that has the focus is pressed by Enter.
      if (!act || (event.repeat && !"jkArrowDownArrowUp".includes(event.key)) || (event.key === "Enter" && target.matches("button, a"))) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [inbox, showsKeys]);

  if (state.over) return <Ended text={text} why={state.over} />;
  const classes = ["app", state.selected ? "has-conversation" : "", showsDetails ? "has-details" : ""].join(" ");
  return (
    <div class={classes}>
      <header class="bar">
        <h1>{text.inbox}</h1>
        <span class="me">{state.me?.display_name ?? ""}</span>
        <Menu text={text} showKeys={() => setShowsKeys(true)} />
      </header>
      {!state.connected && <p class="banner" role="status">{text.offline}</p>}
      {state.notice && <p class="toast" role="alert">{state.notice}</p>}
      <nav class="queues" aria-label={text.queue}>
        {QUEUES.map((queue) => (
          <button
            type="button"
            key={queue}
            aria-current={state.queue === queue && !state.search ? "page" : undefined}
            onClick={() => showQueue(queue)}
          >
            <span>{text[queue]}</span>
            <span class="count">{state.counts ? state.counts[queue] : "–"}</span>
          </button>
        ))}
      </nav>
      <List inbox={inbox} search={search} />
      <ConversationView
        inbox={inbox}
        composer={composer}
        composing={composing}
        setComposing={setComposing}
        toggleDetails={() => setShowsDetails((shown) => !shown)}
        showsDetails={showsDetails}
      />
      {showsDetails && state.opened && (
        <Details inbox={inbox} opened={state.opened} close={() => setShowsDetails(false)} />
      )}
      {showsKeys && <Keys text={text} close={() => setShowsKeys(false)} />}
    </div>
  );
}
