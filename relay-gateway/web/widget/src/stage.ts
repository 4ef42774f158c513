// Ties one widget to its view, and to its element in the page.
import type { Seat } from "./contract";
import type { EventName } from "./events";
import { Place } from "./place";
import type { Position } from "./protocol";
import { arrange, leaveSlot, takeSlot, type Slot } from "./slots";
import { setAttribute } from "./view/dom";
import { releaseFocus } from "./view/isolation";
import { STYLES } from "./view/stylesheet";
import { adoptStyles } from "./view/styles";
import { View } from "./view/view";
import type { Widget } from "./widget";

const EVENTS: readonly EventName[] = ["ready", "open", "close", "message", "unread", "status", "error"];

/** The widget whose panel was opened last is on top of the others. */
let raised = 0;
let topmost: Stage | null = null;

export class Stage implements Slot {
  side: Position = "bottom-right";
  isOpen = false;
  hasLauncher = true;
  readonly #seat: Seat;
  readonly #widget: Widget;
  readonly #host: HTMLElement;
  #view: View | null = null;
  #root: HTMLElement | null = null;
  #returnFocusTo: HTMLElement | null = null;
  #isDrawing = false;
  readonly #place: Place;
  /** The selector that it was placed by. */
  #container: string | null = null;
  /** In a container, a message counts as read only once the visitor has scrolled to it. */
  readonly #sight = new IntersectionObserver((entries) => {
    this.#isInSight = entries[entries.length - 1]?.isIntersecting === true;
    this.#draw(true);
  });
  #isInSight = false;
  #isGone = false;

  constructor(seat: Seat, widget: Widget) {
    this.#seat = seat;
    this.#widget = widget;
    this.#host = seat.host;
    this.#place = new Place(seat.host, () => this.#view?.panel.messages.moved());
    // The page's listeners come last: what they do to the focus stands.
    widget.events.on("open", () => this.#opened());
    widget.events.on("close", () => this.#closed());
    for (const name of EVENTS) {
      widget.events.on(name, (detail) => {
        if (name !== "ready" || seat.wasReady !== true) seat.tell(name, detail);
      });
    }
    widget.onChange = () => this.#draw();
  }

  mount(): void {
    this.#container = this.#widget.state.appearance.container;
    this.#place.take(this.#container);
  }

  /** Brings a chat that stands in the page into sight, for the visitor to write. */
  reveal(): void {
    if (this.#container === null) return;
    this.#host.scrollIntoView({ block: "nearest" });
    this.#view?.panel.focusOnOpening();
  }

  end(): void {
    this.#isGone = true;
    this.#place.leave();
    this.#sight.disconnect();
    this.#widget.destroy();
    this.#view?.destroy();
    this.#view = null;
    leaveSlot(this);
  }

  place(index: number, isCrowded: boolean, shiftPx: number): void {
    this.#root?.style.setProperty("--slot", String(index));
    this.#root?.style.setProperty("--shift", `${shiftPx}px`);
    if (this.#root) setAttribute(this.#root, "data-crowded", isCrowded ? (index === 0 ? "first" : "behind") : null);
  }

  /** Draws the state; what drawing itself changes (a message seen) is drawn once more, not in a circle. */
  #draw(isObserved = false): void {
    const widget = this.#widget;
    if (this.#isGone || widget.state.config === null || this.#isDrawing) return;
    this.#isDrawing = true;
    try {
      this.#view ??= this.#build(widget);
      this.#view.render(widget.state);
      if (this.#reads(widget, isObserved)) {
        const { state } = widget;
        widget.seen();
        if (widget.state !== state) this.#view.render(widget.state);
      }
      this.#settle(widget);
    } finally {
      this.#isDrawing = false;
    }
  }

  #reads({ state }: Widget, isObserved: boolean): boolean {
    const isDrawn = this.#root?.checkVisibility?.({ visibilityProperty: true }) ?? true;
    const isShown = document.visibilityState === "visible" && this.#host.getClientRects().length > 0 && isDrawn;
    const isRead = state.open && state.past === null && isShown && this.#view?.panel.messages.showsEnd === true;
    return isRead && (this.#container === null || this.#isSeen(isObserved));
  }

  /**
   * Whether the place below the newest message is in sight. The observer tells of a scrolled page up to a frame late. Where it says "in sight"
   * and the window says otherwise, nothing counts as read until the observer has looked again.
   */
  #isSeen(isObserved: boolean): boolean {
    const element = this.#view?.panel.composer.element;
    if (!this.#isInSight || isObserved || element === undefined) return this.#isInSight;
    const { top, bottom, left, right } = element.getBoundingClientRect();
    if (bottom >= 0 && right >= 0 && top <= innerHeight && left <= innerWidth) return true;
    this.#sight.unobserve(element);
    this.#sight.observe(element);
    return false;
  }

  #settle({ state, side }: Widget): void {
    const { launcher, container } = state.appearance;
    if (container !== this.#container) {
      this.mount();
      this.#takeSlot();
    }
    if (side === this.side && state.open === this.isOpen && launcher === this.hasLauncher) return;
    this.hasLauncher = launcher;
    this.side = side;
    this.isOpen = state.open;
    arrange();
  }

  #build(widget: Widget): View {
    const shadow = this.#host.shadowRoot ?? this.#host.attachShadow({ mode: "open" });
    // What the loader has drawn looks the same. If its launcher had the focus, the launcher that takes its place has it.
    const hadFocus = shadow.activeElement !== null;
    shadow.replaceChildren();
    adoptStyles(shadow, STYLES, widget.options.nonce);
    const view = new View(shadow, widget, this.#seat.drawnAt ?? performance.now());
    if (hadFocus) queueMicrotask(() => shadow.activeElement === null && !widget.state.open && view.launcher.button.focus({ preventScroll: true }));
    this.#root = shadow.querySelector<HTMLElement>(".root");
    // Nothing arrives anew that stood there before.
    this.#root?.toggleAttribute("data-taken", this.#seat.drawnAt !== undefined);
    this.side = widget.side;
    this.hasLauncher = widget.state.appearance.launcher;
    this.#takeSlot();
    // The newest message stands right above it.
    this.#sight.observe(view.panel.composer.element);
    return view;
  }

  /** A chat in a container stands beside no other. */
  #takeSlot(): void {
    if (this.#container === null) takeSlot(this);
    else leaveSlot(this);
    arrange();
  }

  #opened(): void {
    if (topmost !== this) this.#host.style.setProperty("--chat-relay-raised", String((raised += 1)));
    topmost = this;
    this.#view?.panel.opened();
    if (this.#widget.state.openedByItself) return;
    const before = document.activeElement;
    this.#returnFocusTo = before instanceof HTMLElement && before !== document.body && before !== this.#host ? before : null;
    releaseFocus(this.#host);
    this.#view?.panel.focusOnOpening();
  }

  #closed(): void {
    const target = this.#returnFocusTo?.isConnected ? this.#returnFocusTo : this.#view?.launcher.button;
    const focused = document.activeElement;
    if (focused === this.#host || focused === document.body) target?.focus({ preventScroll: true });
    this.#returnFocusTo = null;
  }
}
