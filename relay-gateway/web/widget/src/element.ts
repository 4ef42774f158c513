// <chat-relay-widget>: ties one widget to its view, and to the life of the element in the page.
import { tellOnConsole } from "./advice";
import type { EventMap, EventName } from "./events";
import { Place } from "./place";
import type { Position } from "./protocol";
import { arrange, leaveSlot, takeSlot, type Slot } from "./slots";
import { setAttribute } from "./view/dom";
import { releaseFocus } from "./view/isolation";
import { adoptStyles } from "./view/stylesheet";
import { View } from "./view/view";
import type { Widget } from "./widget";

export const TAG = "chat-relay-widget";

const EVENTS: readonly EventName[] = ["ready", "open", "close", "message", "unread", "status", "error"];

const PROBE = "chat-relay-probe";

/** The widget whose panel was opened last is on top of the others. */
let raised = 0;
let topmost: ChatRelayElement | null = null;

export class ChatRelayElement extends HTMLElement implements Slot {
  side: Position = "bottom-right";
  isOpen = false;
  hasLauncher = true;
  #widget: Widget | null = null;
  #view: View | null = null;
  #root: HTMLElement | null = null;
  #returnFocusTo: HTMLElement | null = null;
  #isDrawing = false;
  readonly #place = new Place(this, () => this.#view?.panel.messages.moved());
  /** The selector that it was placed by. */
  #container: string | null = null;
  /** In a container, a message counts as read only once the visitor has scrolled to it. */
  readonly #sight = new IntersectionObserver((entries) => {
    this.#isInSight = entries[entries.length - 1]?.isIntersecting === true;
    this.#draw();
  });
  #isInSight = false;
  #isHeard = false;
  #onGone: () => void = () => undefined;

  /** Called once, before the element is put into the page. `onGone` tells that it was taken out for good. */
  attach(widget: Widget, onGone: () => void): void {
    this.#widget = widget;
    this.#onGone = onGone;
    for (const name of EVENTS) widget.events.on(name, (detail) => this.#dispatch(name, detail));
    widget.events.on("open", () => this.#opened());
    widget.events.on("close", () => this.#closed());
    widget.onChange = () => this.#draw();
    this.addEventListener(PROBE, () => (this.#isHeard = true));
  }

  mount(): void {
    this.#container = this.#widget?.state.appearance.container ?? null;
    this.#place.take(this.#container);
  }

  /** Brings a chat that stands in the page into sight, for the visitor to write. */
  reveal(): void {
    if (this.#container === null) return;
    this.scrollIntoView({ block: "nearest" });
    this.#view?.panel.focusOnOpening();
  }

  connectedCallback(): void {
    // A copy of the element, as of a router that keeps pages as HTML, has no widget behind it.
    if (this.#widget === null) this.remove();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      // An element that is only moved has come back.
      if (this.isConnected) return;
      // The page has replaced its document element: the widget goes on in the new one. If the page has taken out the widget itself, it ends.
      if (this.parentNode !== null && document.body && this.#hears()) this.mount();
      else this.#teardown();
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

  place(index: number, isCrowded: boolean, shiftPx: number): void {
    this.#root?.style.setProperty("--slot", String(index));
    this.#root?.style.setProperty("--shift", `${shiftPx}px`);
    if (this.#root) setAttribute(this.#root, "data-crowded", isCrowded ? (index === 0 ? "first" : "behind") : null);
  }

  #teardown(): void {
    this.#place.leave();
    this.#sight.disconnect();
    this.#widget?.destroy();
    this.#widget = null;
    this.#view?.destroy();
    this.#view = null;
    leaveSlot(this);
    this.#onGone();
  }

  #dispatch<K extends EventName>(name: K, detail: EventMap[K]): void {
    // Pages replace this constructor. One that throws there must not stop the widget.
    try {
      this.dispatchEvent(new CustomEvent(`chat-relay:${name}`, { detail, bubbles: true, composed: true }));
    } catch (failure) {
      tellOnConsole("an event could not be dispatched:", failure);
    }
  }

  /** Draws the state; what drawing itself changes (a message seen) is drawn once more, not in a circle. */
  #draw(): void {
    const widget = this.#widget;
    if (widget === null || widget.state.config === null || this.#isDrawing) return;
    this.#isDrawing = true;
    try {
      this.#view ??= this.#build(widget);
      this.#view.render(widget.state);
      if (this.#reads(widget)) {
        const { state } = widget;
        widget.seen();
        if (widget.state !== state) this.#view.render(widget.state);
      }
      this.#settle(widget);
    } finally {
      this.#isDrawing = false;
    }
  }

  #reads({ state }: Widget): boolean {
    const isDrawn = this.#root?.checkVisibility?.({ visibilityProperty: true }) ?? true;
    const isShown = document.visibilityState === "visible" && this.getClientRects().length > 0 && isDrawn;
    const isInSight = this.#container === null || this.#isInSight;
    return state.open && isShown && isInSight && this.#view?.panel.messages.showsEnd === true;
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
    const shadow = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    adoptStyles(shadow, widget.options.nonce);
    const view = new View(shadow, widget);
    this.#root = shadow.querySelector<HTMLElement>(".root");
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
    if (topmost !== this) this.style.setProperty("--chat-relay-raised", String((raised += 1)));
    topmost = this;
    this.#view?.panel.opened();
    if (this.#widget?.state.openedByItself) return;
    const before = document.activeElement;
    this.#returnFocusTo = before instanceof HTMLElement && before !== document.body && before !== this ? before : null;
    releaseFocus(this);
    this.#view?.panel.focusOnOpening();
  }

  #closed(): void {
    const target = this.#returnFocusTo?.isConnected ? this.#returnFocusTo : this.#view?.launcher.button;
    const focused = document.activeElement;
    if (focused === this || focused === document.body) target?.focus({ preventScroll: true });
    this.#returnFocusTo = null;
  }
}
