// What the console tells the developer of the host page: one message per trouble, with the way out.
import { RelayError } from "./http";
import type { Options } from "./options";

const ADVICE: Readonly<Record<string, string>> = {
  invalid_widget_key:
    "The widget key is wrong, or was rotated or revoked: paste the current embed code into the page " +
    "(GET /api/v1/widgets/embed-code).",
  tenant_suspended: "The tenant is suspended: ask the operator of the relay to reactivate it.",
  invalid_identity_token:
    "ChatRelay.identify was given a token of another tenant, or one that has ended or was revoked. The visitor chats on unknown. Mint one " +
    "for each page (POST /api/v1/relay/mint/visitor-token).",
  rate_limited: "Too many requests: the widget comes back by itself.",
  not_served:
    "The relay closed the chat (4403): paste the current embed code, and check the tenant's status and allowed_origins.",
};

export function allowOrigin({ tenantId, baseUrl }: Options): string {
  // Files and sandboxed frames share the origin "null", which no relay lets in.
  if (!/^http/.test(self.origin)) return "Serve the page over http or https, outside of sandboxed frames";
  return (
    `Add ${location.origin} to the tenant's allowed_origins (POST ${baseUrl}/api/v1/update/tenant?tenant_id=${tenantId} ` +
    `{"allowed_origins":["${location.origin}", and those it has: the list is replaced]}) or to the widget key's allowed_domains`
  );
}

export function describeFailure(failure: unknown, relayAnswers: boolean, options: Options): string {
  if (failure instanceof RelayError) {
    const { code, message } = failure;
    return `${code}: ${code === "origin_not_allowed" ? `${allowOrigin(options)}.` : (ADVICE[code] ?? message)}`;
  }
  const { baseUrl } = options;
  return relayAnswers
    ? `The origin ${location.origin} gets no readable answer: it is probably not allowed. ` +
        `${allowOrigin(options)}, or check that the relay at ${baseUrl} can be reached without errors.`
    : `The relay at ${baseUrl} cannot be reached from ${location.origin}. Check that it is up and in the page's ` +
        `connect-src policy. If so: ${allowOrigin(options)}.`;
}

/** For a page that has its configuration, and gets no connection. */
export function describeUnreachable(relayAnswers: boolean, options: Options): string {
  const { baseUrl } = options;
  return relayAnswers
    ? `${noSocket(options)}. Nor do calls get through. Messages are kept, and sent when one of both works.`
    : `The relay at ${baseUrl} does not answer. Messages are kept, and sent when it does.`;
}

/** For a page that chats by calls. */
export function describeOverHttp(options: Options): string {
  return `${noSocket(options)}. The chat goes on by calls, which are slower.`;
}

function noSocket({ baseUrl }: Options): string {
  const socket = baseUrl.replace(/^http/, "ws");
  return (
    `No WebSocket to ${socket} opens, although ${baseUrl} answers: the network or a proxy does not let WebSockets through, or the page's ` +
    `connect-src policy lacks ${socket.replace(/^(wss?:\/\/[^/]*).*/, "$1")}`
  );
}

/** Speaks once per text, so that retries do not fill the console. */
export function tellDeveloper(message: string, said: Set<string>): void {
  if (said.has(message)) return;
  said.add(message);
  tellOnConsole(message);
}

/** Pages replace the console, and some take it away. */
export function tellOnConsole(message: string, ...rest: readonly unknown[]): void {
  try {
    console.error(`[chat-relay] ${message}`, ...rest);
  } catch {
    // There is no other place to write to.
  }
}
