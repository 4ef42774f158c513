// Makes the texts of one language ready for the views. A text that the language lacks is English.
import { record } from "@chat-relay/protocol/untrusted";
import { en } from "./en";

type Fill = (...values: readonly (string | number)[]) => string;
type Ready<T> = T extends `${string}{${string}` ? Fill : T extends string ? string : Fill;
export type Dictionary = { readonly [K in keyof typeof en]: Ready<(typeof en)[K]> };

/** The forms by the names of the Unicode plural rules; `other` is always there. A text that does not count has no other form. */
type Forms = Readonly<Record<string, string>> & { readonly other: string };

/** `given` comes from a relay that may be of another version: a text that it lacks is English, and a text that is unknown here is left out. */
export function dictionary(given: Readonly<Record<string, unknown>>, locale: string): Dictionary {
  const texts = Object.entries(en).map(([name, english]) => {
    const original = forms(english) as Forms;
    const own = forms(given[name]);
    const places = [...original.other.matchAll(/\{(\w+)\}/g)].map(([, place]) => place);
    return [name, places.length === 0 ? (own ?? original).other : fill(own ?? original, own === null ? "en" : locale, places)];
  });
  return Object.fromEntries(texts) as Dictionary;
}

function forms(text: unknown): Forms | null {
  const all = typeof text === "string" ? { other: text } : record(text);
  return Object.values(all).every((form) => typeof form === "string") && all["other"] ? (all as Forms) : null;
}

/** Takes the values in the order of the places in the English text. A count stands first. */
function fill(text: Forms, locale: string, places: readonly (string | undefined)[]): Fill {
  const plurals = new Intl.PluralRules(locale);
  return (...values) => {
    const [count] = values;
    const form = (typeof count === "number" ? text[plurals.select(count)] : undefined) ?? text.other;
    return form.replace(/\{(\w+)\}/g, (whole, place: string) => String(values[places.indexOf(place)] ?? whole));
  };
}
