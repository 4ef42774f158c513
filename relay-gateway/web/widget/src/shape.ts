// Where the chat is a sheet over the whole screen, and where fingers type: the same conditions as in the style sheets.

const SHEET = "(max-width: 479.98px), (max-height: 419.98px)";
const TOUCH = "(hover: none) and (pointer: coarse)";

export function sheet(): MediaQueryList {
  return matchMedia(SHEET);
}

/** Whether text is likely typed on the screen: opening must not raise that keyboard, and its Enter makes a line. */
export function typesOnScreen(): boolean {
  return matchMedia(TOUCH).matches;
}
