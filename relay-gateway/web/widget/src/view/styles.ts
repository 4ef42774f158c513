// Style sheets as constructed sheets: a strict Content-Security-Policy lets those pass.
import { el } from "./dom";

const sheets = new Map<string, CSSStyleSheet>();

/** Gives a shadow root these style sheets, in the place of those that it has. */
export function adoptStyles(shadow: ShadowRoot, texts: readonly string[], nonce: string | null): void {
  const css = texts.join("\n");
  if ("adoptedStyleSheets" in shadow && "replaceSync" in CSSStyleSheet.prototype) {
    const sheet = sheets.get(css) ?? new CSSStyleSheet();
    if (!sheets.has(css)) sheet.replaceSync(css);
    sheets.set(css, sheet);
    shadow.adoptedStyleSheets = [sheet];
    return;
  }
  const style = el("style", "", css);
  if (nonce !== null) style.nonce = nonce;
  shadow.append(style);
}
