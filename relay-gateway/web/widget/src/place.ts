// Where the widget's element stands: beside the page's body, or in the element of the page that `data-container` names.
import { tellOnConsole } from "./advice";

/** A framework may take so long to put the container into the page. */
const TOLD_AFTER_MS = 5000;

export class Place {
  readonly #element: HTMLElement;
  // A page that takes out the element itself ends the widget: then the element has no parent.
  readonly #changes = new MutationObserver(() => this.#element.parentNode !== null && this.#stand());
  readonly #onMoved: () => void;
  #selector: string | null = null;
  #timer = 0;

  /** `onMoved`: browsers forget how far the parts of an element that is moved were scrolled. */
  constructor(element: HTMLElement, onMoved: () => void) {
    this.#element = element;
    this.#onMoved = onMoved;
  }

  /**
   * Puts the element where it belongs: in the first element that matches `selector`, also if that one comes later or is replaced by another;
   * without a selector, beside the body. Routers swap and morph the body, and its transforms and filters would carry the widget along.
   */
  take(selector: string | null): void {
    this.leave();
    this.#selector = selector;
    this.#element.toggleAttribute("data-inline", selector !== null);
    if (selector !== null) {
      this.#changes.observe(document, { childList: true, subtree: true });
      this.#timer = window.setTimeout(() => {
        if (!isSelector(selector)) tellOnConsole(`data-container="${selector}" is no selector. Write, for example, #chat.`);
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
    if (this.#selector !== null && container === null) this.#element.style.setProperty("display", "none");
    else this.#element.style.removeProperty("display");
    const parent = container ?? document.documentElement;
    if (this.#element.parentNode === parent) return;
    parent.append(this.#element);
    this.#onMoved();
  }

  #find(): Element | null {
    if (this.#selector === null || !isSelector(this.#selector)) return null;
    const found = document.querySelector(this.#selector);
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
