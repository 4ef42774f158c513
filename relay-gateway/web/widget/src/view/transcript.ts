// The conversation as a text file, for the visitor to keep.
import type { State } from "../state";
import type { Language } from "../text";
import { titleText } from "./header";
import { timeline } from "./timeline";

/** What was said, day by day, as the visitor sees it. Messages that were not sent are left out. */
export function transcript(state: State, language: Language): string {
  const { t, time } = language;
  const lines = [titleText(state, language)];
  if (!state.complete) lines.push(t.transcriptCut);
  for (const row of timeline(state, language)) {
    if (row.kind !== "bubble") {
      lines.push("", row.text);
    } else if (row.delivery === null || row.delivery === "sent") {
      const who = row.role === "visitor" ? t.youSaid : t.said(row.face.name ?? t.chatTitle);
      lines.push("", [row.at === null ? "" : time(row.at), who].filter(Boolean).join(" "), row.content);
      for (const { name, url } of row.attachments) lines.push(`${name ?? ""} ${url}`.trim());
      for (const { title, url } of row.sources) lines.push(`${title} ${url ?? ""}`.trim());
    }
  }
  // Windows' own editor recognises UTF-8 by this first character.
  return `\ufeff${lines.join("\r\n")}\r\n`;
}

/** Gives a text to the browser as a download. */
export function download(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `chat-${new Date().toISOString().slice(0, 10)}.txt`;
  link.click();
  // Some browsers begin to read only after the click.
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
