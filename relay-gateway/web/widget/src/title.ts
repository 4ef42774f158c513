// The count of unread messages in the page's title, while the visitor looks at another tab.

/** Unread messages by widget: a page may have several widgets, and has one title. */
const unread = new Map<object, number>();
/** The page's own title. */
let own = "";
/** The title with the count, while it is shown. */
let counted: string | null = null;

/** Sets how many messages of one widget are unread. A widget that does not count, or is gone, has 0. */
export function countInTitle(widget: object, count: number): void {
  if (count > 0) unread.set(widget, count);
  else unread.delete(widget);
  showCount();
}

/** Writes the count into the title, or takes it out. To be called when the page's visibility changes, too. */
export function showCount(): void {
  // If the page has changed its title meanwhile, the new title is the page's own.
  if (counted === null || document.title !== counted) own = document.title;
  let total = 0;
  for (const count of unread.values()) total += count;
  const wanted = total > 0 && document.visibilityState !== "visible" ? `(${total}) ${own}` : null;
  // Without a count, now and before, the title is not written: the browser would trim it.
  if (wanted !== null || counted !== null) document.title = wanted ?? own;
  // The browser may trim the title.
  counted = wanted === null ? null : document.title;
}
