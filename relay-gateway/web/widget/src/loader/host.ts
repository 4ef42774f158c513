// <chat-relay-widget>: the widget's element, and what becomes of it as the page changes. What is drawn in it is its occupant's.

export const TAG = "chat-relay-widget";

const PROBE = "chat-relay-probe";

export interface Occupant {
  /** Puts the element into the page, where it belongs. */
  mount(): void;
  /** The page has taken the element out for good. */
  end(): void;
}

export class Host extends HTMLElement {
  occupant: Occupant | null = null;
  #isHeard = false;

  constructor() {
    super();
    this.addEventListener(PROBE, () => (this.#isHeard = true));
  }

  connectedCallback(): void {
    // A copy of the element, as of a router that keeps pages as HTML, has no widget behind it.
    if (this.occupant === null) this.remove();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      // An element that is only moved has come back.
      if (this.isConnected || this.occupant === null) return;
      // The page has replaced its document element: the widget goes on in the new one. If the page has taken out the widget itself, it ends.
      if (this.parentNode !== null && document.body && this.#hears()) {
        this.occupant.mount();
        return;
      }
      this.occupant.end();
      this.occupant = null;
    });
  }

  /** `document.open()` takes every listener away, also those in here. Then the page's next snippet starts a new widget. */
  #hears(): boolean {
    this.#isHeard = false;
    const probe = document.createEvent("Event");
    probe.initEvent(PROBE, false, false);
    this.dispatchEvent(probe);
    return this.#isHeard;
  }
}
