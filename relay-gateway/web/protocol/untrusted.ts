// Readers of untrusted JSON: each answers a value that can be used, or null.
import { MESSAGE_CHARS } from "./frames";

/** The fields of an untrusted object, by the names that a type has on the wire. */
export type Fields<T> = { readonly [Name in T extends unknown ? keyof T : never]?: unknown };

export function record<T = Record<string, unknown>>(value: unknown): Fields<T> {
  return (typeof value === "object" && value !== null && !Array.isArray(value) ? value : {}) as Fields<T>;
}

export function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** At most `most` characters, and such as the relay takes: it refuses JSON with half an emoji or a NUL in it. */
export function clean(value: string, most = MESSAGE_CHARS): string {
  return [...value].slice(0, most).join("").replace(/[\p{Cs}\0]/gu, "\uFFFD");
}

/** A time that can be told; now, where it cannot. */
export function moment(value: unknown): string {
  const raw = text(value);
  return raw === null || Number.isNaN(Date.parse(raw)) ? new Date().toISOString() : raw;
}

export function retryAfterMs(value: unknown): number | null {
  const seconds = typeof value === "string" ? Number.parseFloat(value) : value;
  return typeof seconds === "number" && seconds >= 0 ? Math.min(seconds, 3600) * 1000 : null;
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function known<T>(values: readonly (T | null)[]): T[] {
  return values.filter((value): value is T => value !== null);
}

/** An address that may become a link or an image: http or https, nothing else. */
export function webUrl(value: unknown): string | null {
  const raw = text(value);
  if (raw === null) return null;
  try {
    const url = new URL(raw);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
