// How a widget's root looks: colours, side, offsets, direction. Launcher and panel stand in it.
import { palette } from "../colour";
import type { LauncherAppearance } from "../options";
import type { Look } from "../protocol";
import { setAttribute } from "./dom";

const DEFAULT_COLOUR = "#2563EB";

/** A greeting that jumps at the visitor is rude; this one waits until the page has settled. */
export const GREETING_DELAY_MS = 1200;

/** `words` is the language that the words are in. */
export function applyLook(
  root: HTMLElement,
  { config, open, appearance }: { readonly config: Look | null; readonly open: boolean; readonly appearance: LauncherAppearance },
  { dir, words }: { readonly dir: string; readonly words: string },
  prefersDark: boolean,
): void {
  const { theme, position, colour, offsetX, offsetY, launcher, container } = appearance;
  const isDark = theme === "auto" ? prefersDark : theme === "dark";
  // The relay always sends a theme colour; its default says nothing about the brand.
  const own = config?.themeColour?.toUpperCase() === DEFAULT_COLOUR ? null : config?.themeColour;
  const look = palette(colour ?? own ?? config?.brandColour ?? DEFAULT_COLOUR, isDark);
  for (const [name, value] of Object.entries(look)) root.style.setProperty(`--${name}`, value);
  setAttribute(root, "data-theme", isDark ? "dark" : "light");
  setAttribute(root, "data-position", position ?? config?.position ?? "bottom-right");
  setAttribute(root, "data-open", String(open));
  setAttribute(root, "data-launcher", launcher ? null : "none");
  root.toggleAttribute("data-inline", container !== null);
  for (const [name, offset] of [["--offset-x", offsetX], ["--offset-y", offsetY]] as const) {
    if (offset === null) root.style.removeProperty(name);
    else root.style.setProperty(name, `${offset}px`);
  }
  setAttribute(root, "dir", dir);
  setAttribute(root, "lang", words);
}
