// The widget's styles as a constructed sheet: a strict Content-Security-Policy lets those pass.
import forms from "../styles/forms.css";
import base from "../styles/base.css";
import composer from "../styles/composer.css";
import launcher from "../styles/launcher.css";
import messages from "../styles/messages.css";
import panel from "../styles/panel.css";
import { el } from "./dom";

let shared: CSSStyleSheet | null = null;

export function adoptStyles(shadow: ShadowRoot, nonce: string | null): void {
  const css = [base, launcher, panel, messages, forms, composer].join("\n");
  if ("adoptedStyleSheets" in shadow && "replaceSync" in CSSStyleSheet.prototype) {
    if (shared === null) {
      shared = new CSSStyleSheet();
      shared.replaceSync(css);
    }
    shadow.adoptedStyleSheets = [shared];
    return;
  }
  const style = el("style", "", css);
  if (nonce !== null) style.nonce = nonce;
  shadow.append(style);
}
