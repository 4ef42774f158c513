// Where the widget's element stands: beside the page's body, or in the element of the page that `data-container` names.
import { tellOnConsole } from "./advice";

/** A framework may take so long to put the container into the page. */
const TOLD_AFTER_MS = 5000;

export class Place {
  readonly #element: HTMLElement;
  // A page that takes out the element itself ends the widget: then the element has no parent.
  readonly #changes = new MutationObserver(() => this.#element.parentNode !== null && this.#stand());
  #selector: string | null = null;
  #timer = 0;

  constructor(element: HTMLElement) {
    this.#element = element;
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
        if (find(selector) === null) tellOnConsole(`no element matches data-container="${selector}": the chat is shown in it once there is one.`);
      }, TOLD_AFTER_MS);
    }
    this.#stand();
  }

  leave(): void {
    this.#changes.disconnect();
    clearTimeout(this.#timer);
  }

  #stand(): void {
    const container = this.#selector === null ? null : find(this.#selector);
    // While there is no container, the element waits unseen.
    if (this.#selector !== null && container === null) this.#element.style.setProperty("display", "none");
    else this.#element.style.removeProperty("display");
    const parent = container ?? document.documentElement;
    if (this.#element.parentNode !== parent) parent.append(this.#element);
  }
}

function find(selector: string): Element | null {
  try {
    return document.querySelector(selector);
  } catch {
    // It is no selector.
    return null;
  }
}
