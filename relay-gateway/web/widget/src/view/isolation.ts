// Keeps the page and the widget apart where both would react to the same key, click, touch or focus. Open dialogs take back the focus, close on
// clicks outside of them, and pages hold hotkeys and scroll by wheel: none of that is meant for the chat.

/** The page hears nothing of these where they happen in the widget. What ends elsewhere than it began (a drag of the page's) is not among them. */
const STOPPED = [
  ..."pointerdown mousedown touchstart touchmove touchend dblclick auxclick contextmenu wheel".split(" "),
  ..."focus blur focusin focusout keyup keypress beforeinput change paste copy cut".split(" "),
  ..."compositionstart compositionupdate compositionend".split(" "),
];

/**
 * Ends events at `host` until `signal` is aborted. Listeners of the page's may sit on the document and run before anything in the widget, so
 * this one sits on the window, before them.
 */
export function isolate(host: HTMLElement, signal: AbortSignal): void {
  const early = { capture: true, passive: true, signal };
  const isOurs = (event: Event): boolean => event.target === host;

  const stop = (event: Event): void => {
    if (!isOurs(event)) return;
    if (event.type === "pointerdown") releaseFocus(host);
    event.stopImmediatePropagation();
  };
  for (const name of STOPPED) window.addEventListener(name, stop, early);

  const handle = (event: Event): void => {
    if (isOurs(event)) handleWithin(event);
  };
  for (const name of ["click", "input", "keydown"]) window.addEventListener(name, handle, { capture: true, signal });
}

/**
 * Takes the focus off the page's element first. A dialog that sees the focus go from its own content to the widget takes it back; when it only
 * goes, the dialog leaves it.
 */
export function releaseFocus(host: HTMLElement): void {
  const focused = document.activeElement;
  if (focused instanceof HTMLElement && focused !== host && focused !== document.body) focused.blur();
}

/** Gives the widget's own listeners an event that the page cannot hear, in the place of the one that happened. */
function handleWithin(event: Event): void {
  event.stopImmediatePropagation();
  const target = event.composedPath()[0];
  if (!(target instanceof Element)) return;
  let inner: Event;
  if (event instanceof KeyboardEvent) {
    const { key, code, location, shiftKey, ctrlKey, altKey, metaKey, repeat } = event;
    // keyCode 229 is how Safari says that a key belongs to an input method.
    const isComposing = event.isComposing || event.keyCode === 229;
    const init = { key, code, location, shiftKey, ctrlKey, altKey, metaKey, repeat, isComposing };
    inner = new KeyboardEvent("keydown", { ...init, bubbles: true, cancelable: true });
  } else if (event.type === "input") {
    inner = new InputEvent("input", { bubbles: true });
  } else {
    // Only buttons listen to clicks. Links and fields do what the browser does with the click itself.
    if (target.closest("button") === null) return;
    inner = new MouseEvent("click", { bubbles: true, cancelable: true, detail: (event as MouseEvent).detail });
    event.preventDefault();
  }
  if (!target.dispatchEvent(inner)) event.preventDefault();
}
