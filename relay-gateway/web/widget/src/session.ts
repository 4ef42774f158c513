// The visitor's session: made once, kept for every tab of the site, its token renewed when it must be.
import { randomId } from "@chat-relay/protocol/id";
import { RelayError, type RelayApi } from "./http";
import { isToldBy, type Identity } from "./identity";
import { parseSession, type Session } from "./protocol";
import type { Storage } from "./storage";

const KEY = "session";
const VISITOR_KEY = "visitor";
/** When somebody has last signed out. */
const LEFT_KEY = "left";

/** A token this close to its end is renewed before it is used. */
const RENEW_BEFORE_MS = 60_000;

/** What another tab has kept may reach this tab's process a moment later, although the other tab has let go of the lock. This tab looks for it that long. */
const LOOKED_FOR_MS = 1000;
const LOOKED_EVERY_MS = 50;

export class Sessions {
  readonly #api: RelayApi;
  readonly #storage: Storage;
  readonly #locale: () => string;
  readonly #lockName: string;
  /** Who the visitor is, and under which name the browser knew the visitor when the page said so. */
  #told: { readonly identity: Identity; readonly by: string; readonly left: string } | null = null;
  readonly #onRefused: (failure: RelayError) => void;

  /** `onRefused` hears why the relay does not take a visitor for the one the page says. */
  constructor(api: RelayApi, storage: Storage, locale: () => string, lockName: string, onRefused: (failure: RelayError) => void) {
    this.#api = api;
    this.#storage = storage;
    this.#locale = locale;
    this.#lockName = lockName;
    this.#onRefused = onRefused;
  }

  /** From now on, sessions are this visitor's. Answers whether the session that is kept has to be told. */
  tell(identity: Identity): boolean {
    this.#told = { identity, by: this.visitor(), left: this.#left() };
    const session = this.stored();
    return session !== null && !isToldBy(session, identity);
  }

  /** Forgets the session, here and in every other tab, and answers its token. A session that the relay is being asked for is not kept. */
  forget(): string | null {
    const token = this.stored()?.token ?? null;
    this.#storage.write(LEFT_KEY, Date.now());
    this.#storage.remove(VISITOR_KEY);
    this.#storage.remove(KEY);
    this.#told = null;
    return token;
  }

  stored(): Session | null {
    return parseSession(this.#storage.read(KEY));
  }

  isStoredUnder(name: string): boolean {
    return name === KEY;
  }

  /** Whether a change of this name in another tab, or of everything, may mean another visitor. */
  mayChangeVisitor(name: string | null): boolean {
    return name === VISITOR_KEY || name === null;
  }

  /**
   * A session whose token is worth a try. `rejected` is a token the relay refused: it is renewed, unless
   * another tab has done so. Fails as the relay's HTTP calls do.
   */
  async obtain(rejected: string | null): Promise<Session> {
    return exclusively(this.#lockName, async (hasWaited) => {
      // The tab that held the lock has most likely kept a session.
      if (hasWaited) await this.#hear(rejected);
      const visitor = this.nameVisitor();
      let session = this.stored();
      if (session === null) session = await this.#create(visitor);
      else if (session.token === rejected || Date.parse(session.expiresAt) - Date.now() < RENEW_BEFORE_MS) {
        session = await this.#renew(session, visitor);
      }
      return this.#identified(session, visitor);
    });
  }

  /** The session, once the relay knows whose it is. If the relay refuses the page's token, the visitor goes on without a name. */
  async #identified(session: Session, visitor: string, isRepeated = false): Promise<Session> {
    // The page has named the visitor of then. If another visitor has come, the name is not theirs.
    const told = this.#told;
    const identity = told?.by === visitor && told.left === this.#left() ? told.identity : null;
    if (identity === null || isToldBy(session, identity)) return session;
    if (session.identity !== null && session.identity.visitor !== identity.visitor) {
      // The page has named somebody else meanwhile, who gets a session of their own.
      this.#api.endSession(session.token);
      this.#storage.remove(KEY);
      return this.#identified(await this.#create(visitor), visitor);
    }
    try {
      return this.#keep(await this.#api.identify(session.token, identity), visitor);
    } catch (failure) {
      if (!(failure instanceof RelayError) || failure.transient) throw failure;
      if (failure.code === "invalid_visitor_token" && !isRepeated) {
        return this.#identified(await this.#follow(session, visitor), visitor, true);
      }
      // An older relay knows no identities. One that refuses the page will say so again.
      if (this.#told?.identity === identity) this.#told = null;
      this.#onRefused(failure);
      return session;
    }
  }

  /** A random name for whoever uses this browser, until a reset, or until the page clears the storage; empty while nothing is kept of them. */
  visitor(): string {
    return String(this.#storage.read(VISITOR_KEY) ?? "");
  }

  /** The same, made where there is none: to be called before anything of the visitor's is kept. */
  nameVisitor(): string {
    const known = this.visitor();
    if (known !== "") return known;
    this.#storage.write(VISITOR_KEY, randomId());
    const name = this.visitor();
    // The page has told of a visitor whom the browser had no name for yet.
    if (this.#told?.by === "") this.#told = { ...this.#told, by: name };
    return name;
  }

  /** How the browser knows the visitor: by the name, and by when somebody has last signed out. */
  known(): string {
    return `${this.visitor()}/${this.#left()}`;
  }

  #left(): string {
    return String(this.#storage.read(LEFT_KEY) ?? "");
  }

  async #renew(session: Session, visitor: string): Promise<Session> {
    try {
      const renewed = await this.#api.refreshToken(session.token);
      return this.#keep({ ...renewed, identity: session.identity }, visitor);
    } catch (failure) {
      // Only a refusal tells that the session is over. The caller hears of every other failure.
      const isOver = failure instanceof RelayError && (failure.status === 401 || failure.status === 404);
      // A rotated key says nothing about the session: a new one would fail as well.
      if (!isOver || failure.code === "invalid_widget_key") throw failure;
      return this.#follow(session, visitor);
    }
  }

  /** The session after one that is over: another tab's, or a new one. Fails as `#keep` does if another visitor has come meanwhile. */
  async #follow(over: Session, visitor: string): Promise<Session> {
    await this.#hear(over.token);
    const session = this.stored();
    return session && session.token !== over.token && this.visitor() === visitor ? session : this.#create(visitor);
  }

  /** Waits a moment for a session of another tab's, unless there is one already that is not the one of this token. */
  async #hear(token: string | null): Promise<void> {
    // By the clock: a browser slows the timers of a tab that nobody sees, and the other tabs wait meanwhile.
    const until = Date.now() + LOOKED_FOR_MS;
    while (Date.now() < until && (this.stored()?.token ?? token) === token) {
      await new Promise((resolve) => window.setTimeout(resolve, LOOKED_EVERY_MS));
    }
  }

  async #create(visitor: string): Promise<Session> {
    return this.#keep(await this.#api.createSession(this.#locale()), visitor);
  }

  #keep(session: Session, visitor: string): Session {
    // The visitor was reset while the relay was asked, so that its answer must not be kept.
    if (this.visitor() !== visitor) throw new Error();
    const { sessionId, token, expiresAt, identity } = session;
    const told = identity && { visitor: identity.visitor, name: identity.name, email: identity.email };
    this.#storage.write(KEY, { session_id: sessionId, visitor_token: token, expires_at: expiresAt, identity: told });
    return session;
  }
}

/** Runs `job` in one tab at a time where the browser has locks; elsewhere two tabs may race. Tells it whether another tab was first. */
async function exclusively<T>(name: string, job: (hasWaited: boolean) => Promise<T>): Promise<T> {
  let started = false;
  const once = (hasWaited: boolean): Promise<T> => {
    started = true;
    return job(hasWaited);
  };
  const { locks } = navigator;
  try {
    return await locks.request(name, { ifAvailable: true }, (lock) => (lock ? once(false) : locks.request(name, () => once(true))));
  } catch (failure) {
    if (started) throw failure;
    return job(false);
  }
}
