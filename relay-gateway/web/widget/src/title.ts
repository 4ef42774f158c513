// The count of unread messages in the page's title, while the visitor looks at another tab.

/** By widget: a page may have several, and has one title. */
const unread = new Map<object, number>();
/** The page's own title, and what was made of it; `null` while the title is the page's own. */
let own = "";
let counted: string | null = null;

/** Takes what is unread in one widget; 0 for one that does not count, or is gone. */
export function countInTitle(widget: object, count: number): void {
  if (count > 0) unread.set(widget, count);
  else unread.delete(widget);
  showCount();
}

/** To be called, too, when the visitor comes or goes. */
export function showCount(): void {
  // The page has given itself another title meanwhile: that one is its own now.
  if (counted === null || document.title !== counted) own = document.title;
  let total = 0;
  for (const count of unread.values()) total += count;
  const wanted = total > 0 && document.visibilityState !== "visible" ? `(${total}) ${own}` : null;
  // A title that nobody changed stays as it is written: the browser would trim it.
  if (wanted !== null || counted !== null) document.title = wanted ?? own;
  // The browser may trim the title.
  counted = wanted === null ? null : document.title;
}
