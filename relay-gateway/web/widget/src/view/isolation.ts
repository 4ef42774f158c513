// Keeps the page and the widget apart where both would react to the same key, click, touch or focus. Open dialogs take back the focus, close on
// clicks outside of them. Pages have hotkeys, and scroll by script. Nothing that happens in the chat is meant for them.

/** The page does not hear these where they happen in the widget. It hears `pointerup`, `mouseup` and `drop`, which may end a drag of its own. */
const STOPPED = (
  "pointerdown mousedown touchstart touchmove touchend dblclick auxclick contextmenu wheel focus blur focusin focusout keyup keypress beforeinput " +
  "change copy cut compositionstart compositionupdate compositionend"
).split(" ");

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
  const { key, shiftKey, isComposing, keyCode } = event as KeyboardEvent;
  // keyCode 229 is how Safari says that a key belongs to an input method.
  const keys = { key, shiftKey, isComposing: isComposing || keyCode === 229 };
  const { clipboardData } = event as ClipboardEvent;
  const inner = isClick ? innerClick(event) : innerEvent(event.type, { ...keys, clipboardData });
  const isPrevented = !target.dispatchEvent(inner);
  // The inner click has already submitted the button's form.
  if (isClick || isPrevented) event.preventDefault();
}

/** A click submits the form of its button only if it is an event of the same kind. The page may have replaced the constructor of that name. */
function innerClick(event: Event): Event {
  const Constructor = event.constructor as typeof Event;
  return new Constructor(event.type, { bubbles: true, cancelable: true });
}

/** A plain event with these fields: Firefox lets a KeyboardEvent out of the shadow root even where it is made not to leave it. */
function innerEvent(type: string, fields: Readonly<Record<string, unknown>>): Event {
  const inner = document.createEvent("Event");
  inner.initEvent(type, true, true);
  for (const name of Object.keys(fields)) Object.defineProperty(inner, name, { value: fields[name] });
  return inner;
}
