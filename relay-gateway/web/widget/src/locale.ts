// Which language and direction a widget has, by what the page and the browser say.

/** The languages that the relay has texts of, beside English: the files of `locales/`. */
export const FETCHED = ["ar", "de", "es", "fr", "it", "ja", "nl", "pl", "pt", "tr", "zh"];

const MAX_LOCALE_CHARS = 35;
const RIGHT_TO_LEFT = new Set(["ar", "he", "iw", "fa", "ur", "ps", "sd", "ug", "yi", "dv", "ckb"]);

export function direction(locale: string, localeGiven: boolean): "ltr" | "rtl" {
  const documentIsRtl = !localeGiven && document.documentElement.dir === "rtl";
  return documentIsRtl || RIGHT_TO_LEFT.has(locale.split("-")[0] ?? "") ? "rtl" : "ltr";
}

/** The tenant's own words stay as they are; the relay's English defaults are ours to translate. */
export function localised(own: string, english: string, translated: string): string {
  return own === english || own === "" ? translated : own;
}

/** The longest beginning of a locale that there are texts of. */
export function languageOf(locale: string): string {
  // These read traditional characters; the texts are in simplified ones.
  if (/^zh-(hant|tw|hk|mo)\b/i.test(locale)) return "en";
  const parts = locale.toLowerCase().split("-");
  for (let length = parts.length; length > 0; length -= 1) {
    const prefix = parts.slice(0, length).join("-");
    if (FETCHED.includes(prefix)) return prefix;
  }
  return "en";
}

/** The document's locale. Where it says only `en`, and the visitor's browser `en-GB`, times are formatted as in Great Britain. */
export function documentLocale(): string {
  const own = canonical(document.documentElement.lang || navigator.language);
  return navigator.languages.map(canonical).find((locale) => locale.startsWith(`${own}-`)) ?? own;
}

/** As BCP 47 writes it; English for what no browser understands, and for what the relay finds too long. */
export function canonical(locale: string): string {
  try {
    const [tag] = Intl.getCanonicalLocales(locale.trim().replace(/_/g, "-"));
    if (tag && tag.length <= MAX_LOCALE_CHARS) return tag;
  } catch {
    // English, then.
  }
  return "en";
}
