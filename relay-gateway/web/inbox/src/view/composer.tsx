// Where the operator writes: to the visitor, or a note to colleagues. What is written survives a reload of the tab.
import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Inbox } from "../service";
import { put } from "../text";
import { fill, visitorName, type Opened } from "../model";

interface Props {
  inbox: Inbox;
  opened: Opened;
  composer: RefObject<HTMLTextAreaElement | null>;
  composing: "reply" | "note";
  setComposing: (what: "reply" | "note") => void;
}

const LONGEST = 8000;

/** Each operator's own: another who takes over the tab does not see them. */
const place = (operator: string, opened: Opened, what: string): string => `chat-relay-inbox-draft-${operator}-${what}-${opened.id}`;

function keptDraft(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function keepDraft(key: string, text: string): void {
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // It is kept as long as the page is.
  }
}

export function Composer({ inbox, opened, composer, composing, setComposing }: Props) {
  const { state, words: text } = inbox;
  const key = place(inbox.operator, opened, composing);
  const [written, setWritten] = useState(() => keptDraft(key));
  const [chosen, setChosen] = useState(0);
  useEffect(() => setWritten(keptDraft(key)), [key]);
  const isMine = opened.handling === "assigned" && opened.operator?.operator_id === inbox.operator;
  const mayWrite = composing === "note" || isMine;
  const asked = composing === "reply" && written.startsWith("/") ? written.slice(1).toLowerCase() : null;
  const replies = asked === null ? [] : state.canned.filter((it) => it.shortcut.toLowerCase().startsWith(asked)).slice(0, 8);
  const other = state.typing && state.typing.until > Date.now() ? state.typing.who : null;

  const write = (value: string): void => {
    setWritten(value);
    setChosen(0);
    keepDraft(key, value);
    if (composing === "reply" && value.trim() && isMine) inbox.typing();
  };
  const useReply = (content: string): void => {
    write(fill(content, { visitor_name: visitorName(opened, text.visitor), operator_name: state.me?.display_name ?? "" }));
    composer.current?.focus();
  };
  const send = async (): Promise<void> => {
    const content = written.trim();
    if (!content || !mayWrite || content.length > LONGEST) return;
    // What is typed from here on is the next text.
    write("");
    if (composing === "reply") inbox.send(opened.id, content);
    else if (!(await inbox.note(content)) && keptDraft(key) === "") write(content);
  };
  const pressed = (event: KeyboardEvent): void => {
    if (event.isComposing) return;
    const reply = replies[chosen];
    if (asked !== null && (event.key === "ArrowDown" || event.key === "ArrowUp") && replies.length > 0) {
      event.preventDefault();
      setChosen((chosen + (event.key === "ArrowDown" ? 1 : replies.length - 1)) % replies.length);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (event.repeat) return;
      if (reply) useReply(reply.content);
      // A shortcut that nobody saved is mistyped, rather than meant for the visitor.
      else if (asked === null || /\s/.test(asked)) void send();
    }
  };

  return (
    <div class={`composer ${composing}`}>
      {opened.draft && isMine && (
        <div class="draft">
          <p><strong>{text.draft}</strong></p>
          <p dir="auto">{opened.draft.content}</p>
          {opened.draft.citations.length > 0 && <p class="meta">{put(text.from, { titles: opened.draft.citations.map((it) => it.title).join(", ") })}</p>}
          <button type="button" onClick={() => useReply(opened.draft?.content ?? "")}>{text.useDraft}</button>
        </div>
      )}
      {other && <p class="warning" role="status">{put(text.writingToo, { name: other.display_name })}</p>}
      <div class="tabs" role="tablist">
        {(["reply", "note"] as const).map((what) => (
          <button type="button" role="tab" key={what} aria-selected={composing === what} onClick={() => setComposing(what)}>{text[what]}</button>
        ))}
      </div>
      {asked !== null && !/\s/.test(asked) && isMine && (
        <ul class="replies" id="replies" role="listbox" aria-label={text.saved}>
          {replies.map((reply, index) => (
            <li key={reply.id} role="option" aria-selected={index === chosen}>
              <button type="button" tabIndex={-1} onClick={() => useReply(reply.content)}><b>/{reply.shortcut}</b> {reply.content}</button>
            </li>
          ))}
          {replies.length === 0 && <li role="option" aria-selected="false" aria-disabled="true">{text.noSaved}</li>}
        </ul>
      )}
      {mayWrite ? (
        <div class="write">
          <textarea
            ref={composer}
            dir="auto"
            rows={3}
            maxLength={LONGEST}
            value={written}
            aria-label={composing === "note" ? text.note : text.reply}
            placeholder={composing === "note" ? text.noteTo : text.replyTo}
            onInput={(event) => write(event.currentTarget.value)}
            onKeyDown={pressed}
          />
          <button type="button" class="primary" disabled={!written.trim()} onClick={() => void send()}>
            {composing === "note" ? text.addNote : text.send}
          </button>
        </div>
      ) : (
        <p class="quiet">{opened.handling === "resolved" ? text.resolvedHint : text.claimFirst}</p>
      )}
    </div>
  );
}
