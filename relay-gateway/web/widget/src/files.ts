// Files that the visitor chooses: each is sent at once, while the visitor goes on writing, and then goes with the next message.
import { MESSAGE_ATTACHMENTS } from "@chat-relay/protocol/frames";
import { randomId } from "@chat-relay/protocol/id";
import { parseAttachments, type Attachment } from "@chat-relay/protocol/message";
import { record } from "@chat-relay/protocol/untrusted";
import { RelayError } from "./http";
import type { Parts } from "./parts";

export interface FileInHand {
  readonly key: string;
  readonly name: string;
  /** `null` for one that has arrived on another page of the visit. */
  readonly file: File | null;
  /** How much of it has arrived, 0 to 1. */
  readonly progress: number;
  /** What the relay keeps of it, once it has arrived. */
  readonly attachment: Attachment | null;
  /** Why it did not arrive: an error code, or `unreachable`. */
  readonly failure: string | null;
}

const UNNAMED = "file";

const AT_ONCE = 2;

/** The relay removes a file that no message has named for a day. */
const KEPT_FOR_MS = 23 * 3600_000;

/** Uploads that are under way, by the key of their file: `remove` and `clear` abort them. */
const running = new Map<string, AbortController>();

/** Takes files in hand, as many as a message may have. */
export function add(p: Parts, chosen: readonly File[]): void {
  if (p.state.config?.takesFiles !== true || p.state.blocked) return;
  const room = MESSAGE_ATTACHMENTS - p.state.files.length;
  const added = chosen.slice(0, Math.max(0, room)).map((file) => {
    // Pasted pictures have no name in some browsers.
    const name = (file.name.replace(/[\p{Cc}/\\]/gu, " ").trim() || UNNAMED).slice(-200);
    return { key: randomId(), name, file, progress: 0, attachment: null, failure: null };
  });
  p.patch({ files: [...p.state.files, ...added] });
  pump(p);
}

/** Sends what is not sent yet, a few files at once: each takes a place of those that the relay gives a visitor. */
function pump(p: Parts): void {
  const { files } = p.state;
  let sending = files.filter(({ key }) => running.has(key)).length;
  for (const each of files) {
    const isDone = each.attachment !== null || each.failure !== null || running.has(each.key);
    if (isDone || sending >= AT_ONCE) continue;
    sending += 1;
    void send(p, each);
  }
}

export function retry(p: Parts, key: string): void {
  update(p, key, { progress: 0, failure: null });
  pump(p);
}

export function remove(p: Parts, key: string): void {
  running.get(key)?.abort();
  p.patch({ files: p.state.files.filter((each) => each.key !== key) });
  p.keepFiles();
}

/** Lets go of all files, sent or not: they are another visitor's. */
export function clear(p: Parts): void {
  for (const { key } of p.state.files) running.get(key)?.abort();
  p.patch({ files: [] });
}

/** Sends anew what has arrived: the relay takes a file in the session that has sent it. What arrived on another page of the visit is gone. */
export function resend(p: Parts): void {
  const kept = p.state.files.filter(({ file, attachment }) => file !== null || attachment === null);
  p.patch({ files: kept.map((each) => (each.attachment === null ? each : { ...each, progress: 0, attachment: null })) });
  p.keepFiles();
  pump(p);
}

/** Takes what has arrived, for a message. What has not stays in hand, with the reason why. */
export function take(p: Parts): Attachment[] {
  const arrived = p.state.files.filter(({ attachment }) => attachment !== null);
  p.patch({ files: p.state.files.filter(({ attachment }) => attachment === null) });
  p.keepFiles();
  return arrived.flatMap(({ attachment }) => attachment ?? []);
}

/** What is kept of the files that have arrived, for the next page of the visit. */
export function kept({ state }: Parts, session: string | null): unknown {
  return { session, at: Date.now(), files: state.files.flatMap(({ attachment }) => attachment ?? []) };
}

/** What has arrived on another page of the visit, unless the relay will not take it any more. */
export function restored(value: unknown, session: string | null): FileInHand[] {
  const { session: of, at, files } = record(value);
  if (of !== session || typeof at !== "number" || Date.now() - at > KEPT_FOR_MS) return [];
  return parseAttachments(files).map((attachment) => {
    const { name = UNNAMED } = attachment;
    return { key: randomId(), name, file: null, progress: 1, attachment, failure: null };
  });
}

async function send(p: Parts, { key, name, file }: FileInHand): Promise<void> {
  if (file === null) return;
  const ending = new AbortController();
  running.set(key, ending);
  const end = (): void => ending.abort();
  p.gone.addEventListener("abort", end);
  try {
    let { token } = await p.obtainSession(null);
    const progress = (share: number): void => update(p, key, { progress: share });
    const upload = (): Promise<unknown> => p.api.upload(token, name, file, progress, ending.signal);
    const answer = await upload().catch(async (failure: unknown) => {
      // A token may end while the page is open.
      if (!(failure instanceof RelayError) || failure.code !== "invalid_visitor_token") throw failure;
      ({ token } = await p.obtainSession(token));
      return upload();
    });
    // It took its time: another visitor may use the browser now.
    if (ending.signal.aborted || p.checkVisitor()) return;
    const [attachment] = parseAttachments([answer]);
    if (!attachment) throw new Error("the answer holds no attachment");
    update(p, key, { progress: 1, attachment });
    p.keepFiles();
  } catch (failure) {
    if (ending.signal.aborted) return;
    const code = failure instanceof RelayError && !failure.transient ? failure.code : "unreachable";
    update(p, key, { failure: code });
  } finally {
    running.delete(key);
    if (!p.gone.aborted) pump(p);
    p.gone.removeEventListener("abort", end);
  }
}

function update(p: Parts, key: string, change: Partial<FileInHand>): void {
  if (p.gone.aborted || !p.state.files.some((each) => each.key === key)) return;
  p.patch({ files: p.state.files.map((each) => (each.key === key ? { ...each, ...change } : each)) });
}
