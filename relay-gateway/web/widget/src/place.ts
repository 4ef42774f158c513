// Where the widget's element stands: beside the page's body, or in the element of the page that `data-container` names.
import { tellOnConsole } from "./advice";

/** A framework may take this long to put the container into the page. */
const TOLD_AFTER_MS = 5000;

export class Place {
  readonly #element: HTMLElement;
  // An element without a parent was taken out by the page itself, which ends the widget.
  readonly #changes = new MutationObserver(() => this.#element.parentNode !== null && this.#stand());
  readonly #onMoved: () => void;
  #isInline = false;
  /** The container's selector, where the page names one that is valid. */
  #selector: string | null = null;
  #timer = 0;

  /** `onMoved`: browsers forget how far the parts of an element that is moved were scrolled. */
  constructor(element: HTMLElement, onMoved: () => void) {
    this.#element = element;
    this.#onMoved = onMoved;
  }

  /**
   * Puts the widget's element into the container: the first element that matches `selector`. If the container comes later, or another one takes its
   * place, the widget's element moves into it.
   *
   * Without a selector, the element stands beside the body. Inside, it would move with the body's transforms, and go when a router swaps the body.
   */
  take(selector: string | null): void {
    this.leave();
    this.#isInline = selector !== null;
    this.#selector = selector !== null && isSelector(selector) ? selector : null;
    this.#element.toggleAttribute("data-inline", selector !== null);
    if (selector !== null) {
      this.#changes.observe(document, { childList: true, subtree: true });
      this.#timer = window.setTimeout(() => {
        if (this.#selector === null) tellOnConsole(`data-container="${selector}" is no selector. Write, for example, #chat.`);
        else if (this.#find() === null) console.info(`[chat-relay] No element matches data-container="${selector}" yet: the chat waits for it.`);
      }, TOLD_AFTER_MS);
    }
    this.#stand();
  }

  leave(): void {
    this.#changes.disconnect();
    clearTimeout(this.#timer);
  }

  #stand(): void {
    const container = this.#find();
    // While there is no container, the element waits unseen.
    if (this.#isInline && container === null) this.#element.style.setProperty("display", "none");
    else this.#element.style.removeProperty("display");
    const parent = container ?? document.documentElement;
    if (this.#element.parentNode === parent) return;
    parent.append(this.#element);
    this.#onMoved();
  }

  #find(): Element | null {
    const found = this.#selector === null ? null : document.querySelector(this.#selector);
    return found !== null && this.#element.contains(found) ? null : found;
  }
}

function isSelector(text: string): boolean {
  try {
    document.querySelector(text);
    return true;
  } catch {
    return false;
  }
}
