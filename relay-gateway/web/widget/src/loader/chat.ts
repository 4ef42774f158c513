// Loads the chat, once it is wanted: a module of the relay's, which may be of another version than this loader.
import type { ChatModule } from "../contract";

const LOADED_WITHIN_MS = 20_000;

const coming = new Map<string, Promise<ChatModule>>();
let attempts = 0;

/** The chat of the relay at this address. A failure is not kept: the next call tries again. */
export function loadChat(baseUrl: string): Promise<ChatModule> {
  const known = coming.get(baseUrl);
  if (known) return known;
  // Some browsers remember for the whole page that a module could not be loaded from an address.
  const again = attempts === 0 ? "" : `?attempt=${attempts}`;
  attempts += 1;
  const tooLate = new Promise<never>((_, reject) => window.setTimeout(reject, LOADED_WITHIN_MS));
  const loading = Promise.race([import(`${baseUrl}/api/v1/widget/chat.js${again}`) as Promise<ChatModule>, tooLate]).catch((failure: unknown) => {
    coming.delete(baseUrl);
    throw failure;
  });
  coming.set(baseUrl, loading);
  return loading;
}
