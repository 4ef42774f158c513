// Who the visitor is, as the page tells: a token that the tenant's backend has minted, and what operators are to see.
import { EMAIL_CHARS, VISITOR_NAME_CHARS } from "@chat-relay/protocol/frames";
import { clean, record, text } from "@chat-relay/protocol/untrusted";

export interface Identity {
  readonly identityToken: string;
  /** The tenant's own id of the visitor. */
  readonly visitor: string;
  readonly name: string | null;
  readonly email: string | null;
}

/** What the page gave; `null` where it holds no token that names a visitor. Whether the token is good is for the relay to say. */
export function readIdentity(given: unknown): Identity | null {
  const { token, name, email } = record(given);
  const identityToken = text(token);
  const visitor = identityToken && named(identityToken);
  if (!identityToken || !visitor) return null;
  return { identityToken, visitor, name: short(name, VISITOR_NAME_CHARS), email: short(email, EMAIL_CHARS) };
}

/** Whether a session says of its visitor what the page says. */
export function isToldBy(session: { readonly identity: Identity | null }, identity: Identity): boolean {
  const known = session.identity;
  return known?.visitor === identity.visitor && tells(known.name, identity.name) && tells(known.email, identity.email);
}

/** The identity as a session in the browser's storage keeps it, without the token. */
export function parseIdentity(value: unknown): Identity | null {
  const { visitor, name, email } = record(value);
  return typeof visitor === "string" ? { identityToken: "", visitor, name: text(name), email: text(email) } : null;
}

/** What is not told stays as it was. */
function tells(known: string | null, told: string | null): boolean {
  return told === null || known === told;
}

function short(value: unknown, most: number): string | null {
  const given = text(value);
  return given && (clean(given, most).trim() || null);
}

/** The subject of a JSON Web Token. */
function named(token: string): string | null {
  try {
    const claims = atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(claims, (letter) => letter.charCodeAt(0));
    return text(record(JSON.parse(new TextDecoder().decode(bytes)))["sub"]);
  } catch {
    return null;
  }
}
