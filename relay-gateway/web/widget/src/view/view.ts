// Everything the visitor sees, in one shadow root: launcher, panel, theme, and what is announced.
import { tellOnConsole } from "../advice";
import type { Appearance } from "../options";
import type { State } from "../state";
import { unreadCount } from "../state";
import { hasWords, language, type Language } from "../text";
import { el, setText } from "./dom";
import { statusText } from "./header";
import { download, transcript } from "./transcript";
import { applyLook, GREETING_DELAY_MS } from "./look";
import { LauncherView, type LauncherActions } from "./launcher";
import { PanelView, troubleText, type PanelActions } from "./panel";

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

  /** `drawnAt`: when the launcher was first drawn, as `performance.now()` tells it. */
  constructor(shadow: ShadowRoot, actions: ViewActions, drawnAt: number) {
    this.#actions = actions;
    this.launcher = new LauncherView(actions, "panel");
    this.panel = new PanelView(actions, "panel");
    this.#root = el("div", "root", this.panel.element, this.launcher.element, this.#announcer);
    shadow.append(this.#root);
    this.#dark.addEventListener("change", () => actions.onChange(), { signal: this.#life.signal });
    this.#greetingTimer = window.setTimeout(() => {
      this.#greets = true;
      actions.onChange();
    }, drawnAt + GREETING_DELAY_MS - performance.now());
  }

  render(state: State): void {
    const words = this.#language(state.appearance);
    applyLook(this.#root, state, words, this.#dark.matches);
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
