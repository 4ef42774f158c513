// Picks the words of a language. Times are formatted in the locale even where words and days are English.
import { direction, languageOf } from "./locale";
import { dictionary, type Dictionary } from "./locales/dictionary";

const english = dictionary({}, "en");
const dictionaries = new Map<string, Dictionary>();
const coming = new Map<string, Promise<void>>();

export interface Language {
  readonly locale: string;
  readonly dir: "ltr" | "rtl";
  /** The language the dictionary is in, for `lang`; differs from the locale where there is no translation. */
  readonly words: string;
  readonly t: Dictionary;
  readonly time: (iso: string) => string;
  readonly day: (iso: string) => string;
  /** A size of a file. */
  readonly bytes: (count: number) => string;
  /** A time that passes, in whole minutes or hours. */
  readonly lasting: (seconds: number) => string;
}

export function language(locale: string, localeGiven: boolean): Language {
  const known = dictionaries.get(languageOf(locale));
  const words = known ? languageOf(locale) : "en";
  const primary = locale.split("-")[0] ?? "";
  // Days stand among our words: where those are English, so are the days.
  const told = primary === words.split("-")[0] ? locale : words;
  const day = dayNames(told);
  const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
  return {
    locale,
    dir: direction(locale, localeGiven),
    words,
    t: known ?? english,
    time: (iso) => clock.format(new Date(iso)),
    bytes: (count) => size(locale, count),
    lasting: (seconds) => duration(words, seconds),
    day: remembered((iso) => capitalised(relativeDay(told, iso) ?? day(new Date(iso)), told)),
  };
}

/**
 * Keeps the names of days, since a long conversation asks for thousands. Midnight falls on a quarter of an hour in every time zone, so that all
 * times within a quarter have the same name.
 */
function remembered(name: (iso: string) => string): (iso: string) => string {
  let today = 0;
  let names = new Map<number, string>();
  return (iso) => {
    // At midnight, today becomes yesterday.
    const now = Math.floor(Date.now() / 900_000);
    if (now !== today) names = new Map();
    today = now;
    const quarter = Math.floor(Date.parse(iso) / 900_000);
    const known = names.get(quarter) ?? name(iso);
    names.set(quarter, known);
    return known;
  };
}

function size(locale: string, count: number): string {
  const [unit, shown] = count < 1e6 ? ["kilobyte", Math.max(1, Math.round(count / 1e3))] : ["megabyte", count / 1e6];
  return new Intl.NumberFormat(locale, { style: "unit", unit, maximumFractionDigits: 1 }).format(shown as number);
}

function duration(locale: string, seconds: number): string {
  const minutes = Math.max(1, Math.ceil(seconds / 60));
  const [unit, shown] = minutes < 90 ? ["minute", minutes] : ["hour", Math.round(minutes / 60)];
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(shown as number);
}

/** Whether the words of this locale are there, or need not be fetched. */
export function hasWords(locale: string): boolean {
  const wanted = languageOf(locale);
  return wanted === "en" || dictionaries.has(wanted);
}

/** Has the words of a locale fetched, once for all widgets. Until they are there, and if they do not come, the words are English. */
export async function fetchWords(locale: string, fetchTexts: (language: string) => Promise<Readonly<Record<string, unknown>>>): Promise<void> {
  if (hasWords(locale)) return;
  const wanted = languageOf(locale);
  const texts =
    coming.get(wanted) ??
    fetchTexts(wanted)
      .then((given) => void dictionaries.set(wanted, dictionary(given, wanted)))
      .catch(() => undefined)
      .then(() => void coming.delete(wanted));
  coming.set(wanted, texts);
  await texts;
}

function relativeDay(locale: string, iso: string): string | null {
  const midnight = (date: Date): number => new Date(date).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(new Date(iso)) - midnight(new Date())) / 86_400_000);
  if (days !== 0 && days !== -1) return null;
  return new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(days, "day");
}

/** Tells a day, with its year unless that is this year. */
function dayNames(locale: string): (date: Date) => string {
  const parts = { weekday: "long", day: "numeric", month: "long" } as const;
  const thisYear = new Intl.DateTimeFormat(locale, parts);
  const otherYear = new Intl.DateTimeFormat(locale, { ...parts, year: "numeric" });
  return (date) => (date.getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(date);
}

function capitalised(words: string, locale: string): string {
  return words.charAt(0).toLocaleUpperCase(locale) + words.slice(1);
}
