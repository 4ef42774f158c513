// What the loader (widget.js) and the chat (chat.js) know of each other. While a relay is upgraded, a loader of one version meets a chat of
// another: fields and methods are only ever added, and each side does without what the other does not have yet.
import type { Settings } from "./options";

/** What the loader gives the chat: one widget of the page. */
export interface Seat {
  /** What the snippet says, or ChatRelay.start. */
  readonly settings: Settings;
  /** `<chat-relay-widget>`. Its open shadow root holds what the loader has drawn; the chat takes its place. */
  readonly host: HTMLElement;
  /** `data` of fetch/widget-config, where the loader has asked for it. */
  readonly answered?: unknown;
  /** Whether the page was told `ready`. */
  readonly wasReady?: boolean;
  /** When the launcher was drawn, as `performance.now()` tells it: a greeting waits until the page has settled. */
  readonly drawnAt?: number;
  /** Tells the page of an event. */
  tell(event: string, detail: unknown): void;
}

/** What the chat gives back: the same widget, from now on its own. */
export interface Chat {
  /**
   * Carries out a method of ChatRelay. The loader adds arguments: to `open` and `toggle`, whether the visitor has asked for it; to `identify`, how the
   * browser knew the visitor when the page called it, and whose session it kept then.
   */
  call(method: string, ...args: readonly unknown[]): unknown;
  /** Takes the page's new settings. */
  dress(settings: Settings): void;
  /** Puts the element into the page, where it belongs. */
  mount(): void;
  /** The element was taken out of the page for good. */
  end(): void;
}

/** What chat.js exports. */
export interface ChatModule {
  /** The methods of ChatRelay that `call` carries out. */
  readonly METHODS: readonly string[];
  take(seat: Seat): Chat;
}
