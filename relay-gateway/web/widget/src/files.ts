// Files that the visitor chooses: each is sent at once, while the visitor goes on writing, and then goes with the next message.
import { MESSAGE_ATTACHMENTS } from "@chat-relay/protocol/frames";
import { randomId } from "@chat-relay/protocol/id";
import { parseAttachments, type Attachment } from "@chat-relay/protocol/message";
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
  for (const each of added) void send(p, each);
}

export function retry(p: Parts, key: string): void {
  const found = p.state.files.find((each) => each.key === key);
  if (!found) return;
  update(p, key, { progress: 0, failure: null });
  void send(p, found);
}

export function remove(p: Parts, key: string): void {
  running.get(key)?.abort();
  p.patch({ files: p.state.files.filter((each) => each.key !== key) });
  p.keepFiles();
}

/** Lets go of all files, sent or not. */
export function clear(p: Parts): void {
  for (const { key } of p.state.files) remove(p, key);
}

/** Takes what has arrived, for a message. What has not stays in hand, with the reason why. */
export function take(p: Parts): Attachment[] {
  const arrived = p.state.files.filter(({ attachment }) => attachment !== null);
  p.patch({ files: p.state.files.filter(({ attachment }) => attachment === null) });
  p.keepFiles();
  return arrived.flatMap(({ attachment }) => attachment ?? []);
}

/** What has arrived on another page of the visit. */
export function restored(kept: unknown): FileInHand[] {
  return parseAttachments(kept).map((attachment) => {
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
    p.gone.removeEventListener("abort", end);
  }
}

function update(p: Parts, key: string, change: Partial<FileInHand>): void {
  if (p.gone.aborted || !p.state.files.some((each) => each.key === key)) return;
  p.patch({ files: p.state.files.map((each) => (each.key === key ? { ...each, ...change } : each)) });
}
