// What is known of the visitor, beside the conversation.
import { useState } from "preact/hooks";
import type { Inbox } from "../service";
import { ago, put } from "../text";
import { stars, type Opened } from "../model";
import { CloseIcon } from "./icons";

const KNOWN = new Set(["page", "page_url", "url", "origin", "routing_key", "bot_id"]);

export function Details({ inbox, opened, close }: { inbox: Inbox; opened: Opened; close: () => void }) {
  const { words: text } = inbox;
  const [tag, setTag] = useState("");
  const page = ["page_url", "url", "page", "origin"].map((name) => opened.metadata[name]).find((value) => typeof value === "string");
  const reason = opened.waiting_reason;
  const facts: [string, string | null][] = [
    [text.email, opened.visitor_email],
    [text.phone, opened.visitor_phone],
    [text.answersTo, opened.answers_email],
    [text.language, opened.locale],
    [text.page, typeof page === "string" ? page : null],
    [text.queue, opened.routing_key],
    [text.waitsSince, opened.waiting_since && ago(opened.waiting_since, text, Date.now())],
    [text.reason, reason && (reason in text ? String(text[reason as keyof typeof text]) : reason)],
    [text.began, new Date(opened.created_at).toLocaleString(document.documentElement.lang)],
  ];
  const more = Object.entries(opened.metadata).filter(([name, value]) => !KNOWN.has(name) && value !== "" && value !== null);
  const setTags = (tags: string[]): void => void inbox.change("tag", { tags });
  const add = (event: Event): void => {
    event.preventDefault();
    const added = tag.trim();
    if (added && !opened.tags.includes(added)) setTags([...opened.tags, added]);
    setTag("");
  };
  return (
    <aside class="details" aria-label={text.details}>
      <div class="head">
        <h2>{text.about}</h2>
        <button type="button" class="icon" aria-label={text.close} onClick={close}><CloseIcon /></button>
      </div>
      <dl>
        {facts.filter(([, value]) => value).map(([name, value]) => (
          <div key={name}><dt>{name}</dt><dd dir="auto">{value}</dd></div>
        ))}
      </dl>
      {opened.rating && (
        <div class="rating">
          <h3>{text.rating}</h3>
          <p class="stars" role="img" aria-label={put(text.scoreOf, { score: opened.rating.score })}>{stars(opened.rating.score)}</p>
          {opened.rating.comment && <p dir="auto">{opened.rating.comment}</p>}
        </div>
      )}
      <h3>{text.tags}</h3>
      <p class="tags">
        {opened.tags.map((it) => (
          <span class="chip" key={it}>{it} <button type="button" class="link" aria-label={put(text.removeTag, { tag: it })} onClick={() => setTags(opened.tags.filter((other) => other !== it))}>×</button></span>
        ))}
      </p>
      <form onSubmit={add}>
        <input value={tag} maxLength={50} aria-label={text.addTag} placeholder={text.addTag} onInput={(event) => setTag(event.currentTarget.value)} />
      </form>
      {more.length > 0 && <h3>{text.moreData}</h3>}
      <dl>
        {more.map(([name, value]) => (
          <div key={name}><dt>{name}</dt><dd dir="auto">{typeof value === "string" ? value : JSON.stringify(value)}</dd></div>
        ))}
      </dl>
    </aside>
  );
}
