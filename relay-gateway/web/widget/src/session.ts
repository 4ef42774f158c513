// The visitor's session: made once, kept for every tab of the site, its token renewed when it must be.
import { RelayError, type RelayApi } from "./http";
import { parseSession, type Session } from "./protocol";
import type { Storage } from "./storage";

const KEY = "session";

/** A token this close to its end is renewed before it is used. */
const RENEW_BEFORE_MS = 60_000;

export class Sessions {
  readonly #api: RelayApi;
  readonly #storage: Storage;
  readonly #locale: () => string;
  readonly #lockName: string;

  constructor(api: RelayApi, storage: Storage, locale: () => string, lockName: string) {
    this.#api = api;
    this.#storage = storage;
    this.#locale = locale;
    this.#lockName = lockName;
  }

  stored(): Session | null {
    return parseSession(this.#storage.read(KEY));
  }

  isStoredUnder(name: string): boolean {
    return name === KEY;
  }

  /**
   * A session whose token is worth a try. `rejected` is a token the relay refused: it is renewed, unless
   * another tab has done so. Fails as the relay's HTTP calls do.
   */
  async obtain(rejected: string | null): Promise<Session> {
    return exclusively(this.#lockName, async () => {
      const session = this.stored();
      if (session === null) return this.#create();
      const expiring = Date.parse(session.expiresAt) - Date.now() < RENEW_BEFORE_MS;
      return expiring || session.token === rejected ? this.#renew(session) : session;
    });
  }

  async #renew(session: Session): Promise<Session> {
    try {
      return this.#keep(await this.#api.refreshToken(session.token));
    } catch (failure) {
      const isOver = failure instanceof RelayError && (failure.status === 401 || failure.status === 404);
      // A rotated key says nothing about the session: a new one would fail as well.
      if (!isOver || failure.code === "invalid_widget_key") throw failure;
      this.#storage.remove(KEY);
      return this.#create();
    }
  }

  async #create(): Promise<Session> {
    return this.#keep(await this.#api.createSession(this.#locale()));
  }

  #keep(session: Session): Session {
    const { sessionId, token, expiresAt } = session;
    this.#storage.write(KEY, { session_id: sessionId, visitor_token: token, expires_at: expiresAt });
    return session;
  }
}

/** Runs `job` in one tab at a time where the browser has locks; elsewhere two tabs may race harmlessly. */
async function exclusively<T>(name: string, job: () => Promise<T>): Promise<T> {
  let started = false;
  const once = async (): Promise<T> => {
    started = true;
    return job();
  };
  try {
    return await navigator.locks.request(name, once);
  } catch (failure) {
    if (started) throw failure;
    return job();
  }
}
