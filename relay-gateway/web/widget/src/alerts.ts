// What tells a visitor who looks elsewhere of new messages: a sound, and the count in the page's title.
import type { Parts } from "./parts";
import { ring } from "./sound";
import { newestIncomingId, unreadCount } from "./state";
import { countInTitle, showCount } from "./title";

export const SOUND_KEY = "sound";
const RUNG_KEY = "rung";

/** Until the widget is gone. */
export function begin(p: Parts): void {
  load(p);
  p.events.on("unread", () => count(p));
  // A function of its own for each widget: the same one would be registered once, and go with the first of them.
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

/** To be called when the page wants its title counted, or not any more. */
export function count(p: Parts): void {
  countInTitle(p, p.state.appearance.titleCount ? unreadCount(p.state) : 0);
}

/** Somebody has said something. One tab rings for all. */
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
  // It is heard as it is turned on, and the browser learns that the visitor wants it.
  if (sound) void ring();
}
