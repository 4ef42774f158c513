// A chat backend of your own: conversations in memory, each tenant's apart. It needs only Node 20 or newer.
import { createHash, createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

// The backend accepts each secret of a comma-separated list, so that a secret can be changed without a refused call.
const SECRETS = (process.env.CHAT_BACKEND_RELAY_SECRET ?? "").split(",").map((secret) => secret.trim());
if (SECRETS.some((secret) => secret.length < 16)) {
  console.error("Set CHAT_BACKEND_RELAY_SECRET to the gateway's relay secret, which has at least 16 characters.");
  process.exit(1);
}
const TENANTS = new Map(); // tenant id -> Map: conversation id -> { conversation, messages }
let lastMs = 0;

class Refusal extends Error {
  constructor(status, error_code, message, relayRefused, more) {
    super(message);
    Object.assign(this, { status, relayRefused, reply: { error_code, message, ...more } });
  }
}

/** Checks HMAC#2 and returns the tenant and the actor that the relay signed. An Error says what is wrong. */
function verify(request, body) {
  const names = ["timestamp", "tenant-id", "actor", "signature"];
  const values = names.map((name) => request.headersDistinct[`x-relay-${name}`] ?? []);
  if (values.some((value) => value.length !== 1)) throw new Error("a header is missing or repeated");
  const [timestamp, tenant, actor, signature] = values.flat();
  if (!/^\d{1,15}$/.test(timestamp) || Math.abs(timestamp - Date.now()) > 30_000) {
    throw new Error("the timestamp is more than 30 s away: set both clocks");
  }
  const digest = createHash("sha256").update(body).digest("hex");
  const signed = Buffer.from([timestamp, request.method, request.url, tenant, actor, digest].join("\n"), "latin1");
  const expected = SECRETS.map((secret) => createHmac("sha256", secret).update(signed).digest());
  const given = Buffer.alloc(32);
  const isWhole = /^[0-9a-f]{64}$/i.test(signature) && given.write(signature, "hex") === 32;
  // In constant time, and every secret is tried.
  if (!expected.map((one) => timingSafeEqual(one, given)).includes(true) || !isWhole) {
    throw new Error("the signature does not match: compare the secrets of both sides");
  }
  return [tenant, actor];
}

/** Adds an id and a time. The id is a UUID v7 and greater than every earlier one. */
function record(tenant_id, fields) {
  lastMs = Math.max(Date.now(), lastMs + 1);
  const at = new Date(lastMs).toISOString();
  const digits = lastMs.toString(16).padStart(12, "0");
  const id = `${digits.slice(0, 8)}-${digits.slice(8)}-7${randomUUID().slice(15)}`;
  return { id, tenant_id, ...fields, created_at: at, updated_at: at };
}

function check(isRight, field, rule) {
  const errors = [{ field, message: rule }];
  if (!isRight) throw new Refusal(422, "validation_failed", `${field} ${rule}.`, undefined, { errors });
}
const isText = (value, most) => typeof value === "string" && value.length > 0 && value.length <= most;

/** Carries out a tenant's call. Returns the status and the data. */
function answer(tenant, call, query, body) {
  if (!TENANTS.has(tenant)) TENANTS.set(tenant, new Map());
  const conversations = TENANTS.get(tenant);
  // The gateway sends this call when it starts, to try its signature.
  if (call === "GET /fetch/conversations") {
    return [200, { items: [...conversations.values()].map(({ conversation }) => conversation).reverse() }];
  }
  if (call === "POST /create/conversation") {
    const { visitor_user_id, visitor_display_name, locale, channel, metadata } = body;
    check(isText(visitor_user_id, 255), "visitor_user_id", "must have 1 to 255 characters");
    const conversation = record(tenant, {
      visitor_user_id, visitor_display_name, locale: locale ?? "fr", channel: channel ?? "text", status: "active",
      handling: "waiting", metadata: metadata ?? {},
    });
    conversations.set(conversation.id, { conversation, messages: [] });
    return [201, conversation];
  }
  if (!["POST /add/message", "GET /fetch/messages"].includes(call)) {
    throw new Refusal(404, "not_found", "This backend has no such path.");
  }
  const found = conversations.get(query.get("conversation_id"));
  if (!found) throw new Refusal(404, "conversation_not_found", "This tenant has no such conversation.");
  const { conversation, messages } = found;
  if (call === "GET /fetch/messages") {
    const limit = query.get("limit") ?? "100";
    check(/^\d+$/.test(limit), "limit", "must be a whole number");
    const later = messages.filter((message) => message.id > (query.get("after") ?? ""));
    return [200, { items: later.slice(0, Math.min(limit, 500)) }];
  }
  const { role = "visitor", content, attachments } = body;
  check(["visitor", "agent", "bot", "system"].includes(role), "role", "must be visitor, agent, bot or system");
  check(isText(content, 8000), "content", "must have 1 to 8000 characters");
  const conversation_id = conversation.id;
  const message = record(tenant, { conversation_id, role, content, attachments: attachments ?? [], citations: [] });
  messages.push(message);
  conversation.updated_at = conversation.last_message_at = message.created_at;
  return [201, message];
}

/** Reads and checks a call. Returns the status and the data. */
async function receive(request) {
  const body = Buffer.concat(await request.toArray());
  let tenant, actor, fields;
  try {
    [tenant, actor] = verify(request, body);
  } catch (problem) {
    console.error(`refused a call that the relay did not sign: ${problem.message}`);
    throw new Refusal(401, "invalid_relay_signature", "Only the relay may call this backend.", "signature");
  }
  // "caller" tells the gateway that its own signature is right: it passes this 401 on.
  if (actor !== "tenant") throw new Refusal(401, "invalid_caller", "This backend answers tenants only.", "caller");
  try {
    fields = JSON.parse(body.toString() || "{}");
  } catch {
    throw new Refusal(400, "malformed_json", "The body is not JSON.");
  }
  check(fields && typeof fields === "object" && !Array.isArray(fields), "body", "must be a JSON object");
  const [path, query = ""] = request.url.split(/\?(.*)/s);
  // The published client sends a plus in the query as it is.
  return answer(tenant, `${request.method} ${path}`, new URLSearchParams(query.replaceAll("+", "%2B")), fields);
}

const server = createServer(async (request, response) => {
  let status, reply;
  try {
    const [code, data] = await receive(request);
    [status, reply] = [code, { success: true, data, message: "Done." }];
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) return request.destroy(refusal);
    if (refusal.relayRefused) response.setHeader("X-Relay-Refused", refusal.relayRefused);
    const request_id = request.headers["x-request-id"] ?? "";
    [status, reply] = [refusal.status, { success: false, ...refusal.reply, request_id }];
  }
  const text = Buffer.from(JSON.stringify({ ...reply, status_code: status }));
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": text.length }).end(text);
});
server.listen(Number(process.argv[2] ?? 7814), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
