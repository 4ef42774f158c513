// The operator's token: taken from the URL's fragment, erased there before anything else, and kept for the tab.

const KEY = "chat-relay-inbox-token";

/** What a token says of itself. Nothing here trusts it: the relay decides what it opens. */
export interface Claims {
  sub: string;
  exp: number;
  display_name?: string;
}

export function claims(token: string): Claims | null {
  try {
    const payload = token.split(".")[1] ?? "";
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const read: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof read !== "object" || read === null) return null;
    const { sub, exp, display_name } = read as Record<string, unknown>;
    if (typeof sub !== "string" || typeof exp !== "number") return null;
    return typeof display_name === "string" ? { sub, exp, display_name } : { sub, exp };
  } catch {
    return null;
  }
}

/** Takes the token out of the fragment. Call it first: nothing may read the URL before. */
export function takeFromUrl(): string | null {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) history.replaceState(null, "", location.pathname + location.search);
  return given || null;
}

export function kept(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function keep(token: string): void {
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // The tab works on with the token in memory, and asks again after a reload.
  }
}

export function forget(): void {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept.
  }
}

/** Whether taking `given` would put another operator in the place of the one whose token is kept. */
export function replacesAnother(given: string, before: string | null): boolean {
  if (before === null) return false;
  const [one, other] = [claims(before), claims(given)];
  return one !== null && other !== null && one.sub !== other.sub && one.exp * 1000 > Date.now();
}
