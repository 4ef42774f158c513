// The open chat: a part of the page in a container; else a floating card where there is room, a sheet over the whole screen where there is not.
import { sheet, typesOnScreen } from "../shape";
import type { State } from "../state";
import type { Language } from "../text";
import { ComposerView, type ComposerActions } from "./composer";
import { el, setAttribute, setText } from "./dom";
import { HeaderView, titleText, type HeaderActions } from "./header";
import { MessagesView, type MessagesActions } from "./messages";
import { PastView, type PastActions } from "./past";

/** A panel less high than this shows little but its header and its field, unless both are made small. */
const SHORT_PX = 280;

export interface PanelActions extends MessagesActions, ComposerActions, HeaderActions, PastActions {}

export class PanelView {
  readonly element: HTMLElement;
  readonly composer: ComposerView;
  readonly messages: MessagesView;
  readonly #header: HeaderView;
  readonly #past: PastView;
  readonly #bar = el("div", { class: "bar", dir: "auto" });
  readonly #notice = el("div", { class: "notice", dir: "auto" });
  readonly #branding = el("div", "branding");
  readonly #sheet = sheet();
  /** It stands in a container of the page. */
  #isInline = false;
  readonly #listeners = new AbortController();
  readonly #resizes: ResizeObserver;

  constructor(actions: PanelActions, id: string) {
    this.#header = new HeaderView(actions);
    this.#past = new PastView(actions);
    this.messages = new MessagesView(actions);
    this.composer = new ComposerView(actions);
    this.element = el(
      "div",
      { class: "panel", id, tabindex: "-1" },
      this.#header.element,
      this.#bar,
      this.#past.element,
      this.messages.element,
      this.#notice,
      this.composer.element,
      this.#branding,
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) actions.close();
      if (event.key === "Tab" && this.#isSheet) this.#trap(event);
    });
    for (const name of ["dragenter", "dragover", "drop"] as const) {
      this.element.addEventListener(name, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        // Else the browser would leave the page for the file, and a page that takes files itself would take it too.
        event.preventDefault();
        event.stopPropagation();
        if (name === "drop") actions.addFiles([...event.dataTransfer.files]);
      });
    }
    this.#resizes = new ResizeObserver(() => this.element.classList.toggle("short", this.element.clientHeight < SHORT_PX));
    this.#resizes.observe(this.element);
    const { signal } = this.#listeners;
    this.#sheet.addEventListener("change", () => this.#applyShape(), { signal });
    for (const name of ["resize", "scroll"]) {
      window.visualViewport?.addEventListener(name, () => this.#applyViewport(), { signal });
    }
  }

  render(state: State, language: Language): void {
    const { t } = language;
    this.#isInline = state.appearance.container !== null;
    setAttribute(this.element, "role", this.#isInline ? "region" : "dialog");
    setAttribute(this.element, "aria-label", titleText(state, language));
    this.element.toggleAttribute("inert", !state.open);
    setAttribute(this.element, "data-open", String(state.open));
    setText(this.#bar, troubleText(state, language));
    this.#bar.hidden = state.trouble === null || state.blocked;
    setText(this.#notice, state.blocked ? t.unavailable : "");
    this.#notice.hidden = !state.blocked;
    setText(this.#branding, t.poweredBy);
    this.#branding.hidden = state.config?.showBranding !== true;
    this.#header.render(state, language);
    const focused = this.#focused;
    const isTurned = this.#past.render(state, language);
    this.messages.element.hidden = this.composer.element.hidden = state.past !== null;
    this.messages.render(state, language);
    this.composer.render(state, language);
    if (isTurned) this.messages.moved();
    // The page keeps the focus if it has it: another tab may have opened a conversation.
    if (isTurned && focused !== null) state.past === null ? this.focusOnOpening() : this.#past.focus();
    // It went with its message or its file, as Retry and Delete do: the visitor goes on where they write.
    const isGone = focused instanceof HTMLElement && (!focused.isConnected || focused.hidden);
    if (isGone) this.focusComposer();
    this.#applyShape();
  }

  /** On opening: what was laid out while hidden is measured again, and the newest message shown. */
  opened(): void {
    this.composer.measure();
    this.messages.toEnd(false);
    this.#applyViewport();
  }

  /** Where fingers type, the focus goes to the panel: the keyboard on the screen would hide half of it. */
  focusOnOpening(): void {
    if (typesOnScreen()) this.element.focus({ preventScroll: true });
    else this.focusComposer();
  }

  focusComposer(): void {
    this.composer.input.focus({ preventScroll: true });
  }

  destroy(): void {
    this.#listeners.abort();
    this.#resizes.disconnect();
    this.messages.destroy();
  }

  get #focused(): Element | null {
    return (this.element.getRootNode() as ShadowRoot).activeElement;
  }

  #applyShape(): void {
    setAttribute(this.element, "aria-modal", this.#isSheet ? "true" : null);
  }

  get #isSheet(): boolean {
    return this.#sheet.matches && !this.#isInline;
  }

  /** On-screen keyboards shrink the visual viewport only: the sheet follows it, so that they hide nothing. */
  #applyViewport(): void {
    const viewport = window.visualViewport;
    if (!viewport || viewport.scale > 1.01) return;
    // The visual viewport does not know of a page's CSS zoom, which scales what is set here.
    const zoom = (this.element as { currentCSSZoom?: number }).currentCSSZoom ?? 1;
    this.element.style.setProperty("--viewport-height", `${viewport.height / zoom}px`);
    this.element.style.setProperty("--viewport-top", `${viewport.offsetTop / zoom}px`);
  }

  /** Keeps Tab within the sheet: behind it the page cannot be seen. */
  #trap(event: KeyboardEvent): void {
    const stops = [...this.element.querySelectorAll<HTMLElement>("a[href], button, textarea, [tabindex='0']")].filter(
      (node) => !node.hasAttribute("disabled") && node.offsetParent !== null,
    );
    const focused = this.#focused;
    const [from, to] = event.shiftKey ? [stops[0], stops[stops.length - 1]] : [stops[stops.length - 1], stops[0]];
    if (focused !== from && focused !== this.element) return;
    event.preventDefault();
    to?.focus();
  }
}

export function troubleText({ trouble }: State, { t }: Language): string {
  if (trouble === null) return "";
  return { connecting: t.connecting, reconnecting: t.reconnecting, offline: t.deviceOffline, unreachable: t.unreachable }[trouble];
}
