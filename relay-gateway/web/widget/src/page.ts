// What happens to the page around a widget.
export interface PageListener {
  cameOnline(): void;
  wentOffline(): void;
  hidden(): void;
  shown(): void;
  cameIntoSight(): void;
  otherTabWrote(event: StorageEvent): void;
}

/** Tells the widget until `signal` ends it. */
export function listenToPage(widget: PageListener, signal: AbortSignal): void {
  window.addEventListener("online", () => widget.cameOnline(), { signal });
  window.addEventListener("offline", () => widget.wentOffline(), { signal });
  window.addEventListener("pagehide", () => widget.hidden(), { signal });
  window.addEventListener("pageshow", () => widget.shown(), { signal });
  window.addEventListener("storage", (event) => widget.otherTabWrote(event), { signal });
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState === "visible") widget.cameIntoSight();
    },
    { signal },
  );
}
