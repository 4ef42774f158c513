// Everything the visitor sees, in one shadow root: launcher, panel, theme, and what is announced.
import { tellOnConsole } from "../advice";
import { palette } from "../colour";
import type { Appearance } from "../options";
import type { State } from "../state";
import { unreadCount } from "../state";
import { hasWords, language, type Language } from "../text";
import { el, setAttribute, setText } from "./dom";
import { statusText } from "./header";
import { download, transcript } from "./transcript";
import { LauncherView, type LauncherActions } from "./launcher";
import { PanelView, troubleText, type PanelActions } from "./panel";

const DEFAULT_COLOUR = "#2563EB";

/** A greeting that jumps at the visitor is rude; this one waits until the page has settled. */
const GREETING_DELAY_MS = 1200;

/** What the visitor can do; the widget does it. */
export type ViewActions = PanelActions & LauncherActions & { saved(): void };

export class View {
  readonly panel: PanelView;
  readonly launcher: LauncherView;
  readonly #actions: ViewActions;
  readonly #root: HTMLElement;
  readonly #announcer = el("div", { class: "sr-only", role: "status" });
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  readonly #life = new AbortController();
  readonly #greetingTimer: number;
  #greets = false;
  #words: Language | null = null;
  #wordsKey = "";
  #announced = "";

  constructor(shadow: ShadowRoot, actions: ViewActions) {
    this.#actions = actions;
    this.launcher = new LauncherView(actions, "panel");
    this.panel = new PanelView(actions, "panel");
    this.#root = el("div", "root", this.panel.element, this.launcher.element, this.#announcer);
    shadow.append(this.#root);
    this.#dark.addEventListener("change", () => actions.onChange(), { signal: this.#life.signal });
    this.#greetingTimer = window.setTimeout(() => {
      this.#greets = true;
      actions.onChange();
    }, GREETING_DELAY_MS);
  }

  render(state: State): void {
    const words = this.#language(state.appearance);
    this.#applyLook(state, state.appearance, words);
    this.panel.render(state, words);
    this.launcher.render(state, words, this.#greets);
    this.#announce(state, words);
    if (state.transcript !== "ready") return;
    this.#actions.saved();
    try {
      download(transcript(state, words));
    } catch (failure) {
      // Pages replace what a download is made of.
      tellOnConsole("the conversation could not be saved:", failure);
    }
  }

  destroy(): void {
    clearTimeout(this.#greetingTimer);
    this.#life.abort();
    this.panel.destroy();
    this.#root.remove();
  }

  #language({ locale, localeGiven }: Appearance): Language {
    const key = `${locale}:${localeGiven}:${document.documentElement.dir}:${hasWords(locale)}`;
    if (this.#words === null || this.#wordsKey !== key) this.#words = language(locale, localeGiven);
    this.#wordsKey = key;
    return this.#words;
  }

  #applyLook({ config, open }: State, appearance: Appearance, { dir, words }: Language): void {
    const { theme, position, colour, offsetX, offsetY, launcher, container } = appearance;
    const isDark = theme === "auto" ? this.#dark.matches : theme === "dark";
    // The relay always sends a theme colour; its default says nothing about the brand.
    const own = config?.themeColour?.toUpperCase() === DEFAULT_COLOUR ? null : config?.themeColour;
    const look = palette(colour ?? own ?? config?.brandColour ?? DEFAULT_COLOUR, isDark);
    for (const [name, value] of Object.entries(look)) this.#root.style.setProperty(`--${name}`, value);
    setAttribute(this.#root, "data-theme", isDark ? "dark" : "light");
    setAttribute(this.#root, "data-position", position ?? config?.position ?? "bottom-right");
    setAttribute(this.#root, "data-open", String(open));
    setAttribute(this.#root, "data-launcher", launcher ? null : "none");
    this.#root.toggleAttribute("data-inline", container !== null);
    for (const [name, offset] of [["--offset-x", offsetX], ["--offset-y", offsetY]] as const) {
      if (offset === null) this.#root.style.removeProperty(name);
      else this.#root.style.setProperty(name, `${offset}px`);
    }
    setAttribute(this.#root, "dir", dir);
    setAttribute(this.#root, "lang", words);
  }

  /** Says each change once; what merely repeats is not worth an interruption. */
  #announce(state: State, words: Language): void {
    const unread = unreadCount(state);
    const said = state.blocked
      ? words.t.unavailable
      : state.open
        ? troubleText(state, words) || statusText(state, words)
        : unread > 0
          ? words.t.unread(unread)
          : "";
    if (said !== this.#announced) setText(this.#announcer, said);
    this.#announced = said;
  }
}
