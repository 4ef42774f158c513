// What tells a visitor who looks elsewhere of new messages: a sound, and the count in the page's title.
import type { Parts } from "./parts";
import { ring } from "./sound";
import { newestIncomingId, unreadCount } from "./state";
import { countInTitle, showCount } from "./title";

export const SOUND_KEY = "sound";
const RUNG_KEY = "rung";

/** Reads whether the visitor wants the sound, and keeps the title's count until the widget is gone. */
export function begin(p: Parts): void {
  load(p);
  p.events.on("unread", () => count(p));
  // Each widget adds a function of its own. A shared one would be added once, and removed with the first widget.
  document.addEventListener("visibilitychange", () => showCount(), { signal: p.gone });
  p.gone.addEventListener("abort", () => countInTitle(p, 0));
}

/** Reads whether the visitor wants the sound, which another tab may have changed. */
export function load(p: Parts): void {
  p.patch({ sound: p.local.read(SOUND_KEY) === true });
}

/** The next visitor has not asked for a sound, and heard nothing. */
export function forget(p: Parts): void {
  p.local.remove(SOUND_KEY);
  p.local.remove(RUNG_KEY);
}

/** Counts again. To be called when the page turns the count on or off. */
export function count(p: Parts): void {
  countInTitle(p, p.state.appearance.titleCount ? unreadCount(p.state) : 0);
}

/** A message has arrived: rings if the visitor does not see it. One tab rings for all. */
export function heard(p: Parts): void {
  const newest = newestIncomingId(p.state);
  if (!p.state.sound || unreadCount(p.state) === 0 || String(p.local.read(RUNG_KEY) ?? "") >= newest) return;
  p.local.write(RUNG_KEY, newest);
  void ring();
}

export function toggleSound(p: Parts): void {
  const sound = !p.state.sound;
  p.local.write(SOUND_KEY, sound);
  p.patch({ sound });
  // The visitor hears what they have turned on, and their click lets the browser play sounds later.
  if (sound) void ring();
}
