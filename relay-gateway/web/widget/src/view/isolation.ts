// Keeps the page and the widget apart where both would react to the same key, click, touch or focus. Open dialogs take back the focus, close on
// clicks outside of them. Pages have hotkeys, and scroll by script. Nothing that happens in the chat is meant for them.

/** The page does not hear these where they happen in the widget. It hears `pointerup`, `mouseup` and `drop`, which may end a drag of its own. */
const STOPPED = [
  ..."pointerdown mousedown touchstart touchmove touchend dblclick auxclick contextmenu wheel".split(" "),
  ..."focus blur focusin focusout keyup keypress beforeinput change copy cut".split(" "),
  ..."compositionstart compositionupdate compositionend".split(" "),
];

/** The widget itself listens to these as well. */
const HANDLED = ["click", "input", "keydown", "paste"];

const hosts = new WeakSet<EventTarget>();

/**
 * Ends events at `host` from now on. Listeners of the page's may sit on the document and run before anything in the widget, so these sit on
 * the window, which comes first. To be called as early as possible: among the window's own listeners the first one runs first.
 */
export function isolate(host: HTMLElement): void {
  hosts.add(host);
  // A listener that is there already is not added again; `document.open()` takes them all away.
  for (const name of STOPPED) window.addEventListener(name, stop, { capture: true, passive: true });
  for (const name of HANDLED) window.addEventListener(name, handle, { capture: true });
}

/**
 * Takes the focus off the page's element first. A dialog that sees the focus go from its own content to the widget takes it back; when it only
 * goes, the dialog leaves it.
 */
export function releaseFocus(host: EventTarget): void {
  const focused = document.activeElement;
  if (focused instanceof HTMLElement && focused !== host && focused !== document.body) focused.blur();
}

function isOurs({ target }: Event): boolean {
  return target !== null && hosts.has(target);
}

function stop(event: Event): void {
  if (!isOurs(event)) return;
  if (event.type === "pointerdown" && event.target) releaseFocus(event.target);
  event.stopImmediatePropagation();
}

/** Stops the event, and dispatches another one inside the widget: the widget's listeners hear it, and the page cannot. */
function handle(event: Event): void {
  if (!isOurs(event)) return;
  event.stopImmediatePropagation();
  const target = event.composedPath()[0] as Partial<Element> & EventTarget;
  const isClick = event.type === "click";
  // Only buttons listen to clicks. Links and fields do what the browser does with the click itself.
  if (isClick && !target.closest?.("button")) return;
  const { key, code, shiftKey, ctrlKey, altKey, metaKey, repeat, isComposing, keyCode } = event as KeyboardEvent;
  // keyCode 229 is how Safari says that a key belongs to an input method.
  const keys = { key, code, shiftKey, ctrlKey, altKey, metaKey, repeat, isComposing: isComposing || keyCode === 229 };
  // The event's own constructor: the page may have replaced the one of that name.
  const Constructor = event.constructor as typeof Event;
  const { clipboardData } = event as ClipboardEvent;
  const inner = new Constructor(event.type, { ...(event.type === "keydown" ? keys : {}), bubbles: true, cancelable: true });
  // Not every browser's constructor takes it.
  if (clipboardData) Object.defineProperty(inner, "clipboardData", { value: clipboardData });
  const isPrevented = !target.dispatchEvent(inner);
  // The inner click has already submitted the button's form.
  if (isClick || isPrevented) event.preventDefault();
}
