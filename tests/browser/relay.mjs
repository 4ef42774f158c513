// The real relay as one process on ports and data of its own, and its tenants: provisioned by the operator, heard by HMAC#1.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { PYTHON } from "./python.mjs";

const ADMIN_KEY = "an-admin-key-for-tests";
const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));

function binary() {
  const path = join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, "target"), "debug", "chat-relay");
  if (!existsSync(path)) throw new Error(`${path} is not built: run \`cargo build -p chat-relay --bin chat-relay\` first`);
  return path;
}

/** A port that stays ours over a restart: outside the range the system picks ports from. */
async function lastingPort() {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await Promise.race([once(server, "listening").then(() => true), once(server, "error").then(() => false)]);
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
  throw new Error("no port is free");
}

export class Relay {
  #process = null;
  #variables;
  #data;
  #log = [];
  #lastTimestamp = 0;

  /** `relayUrl` is what browsers are told, where it is not the relay's own address; `mailUrl` names a mail server. */
  static async start({ relayUrl, mailUrl } = {}) {
    const relay = new Relay();
    relay.#data = await mkdtemp(join(tmpdir(), "chat-relay-browser-"));
    relay.url = `http://127.0.0.1:${await lastingPort()}`;
    relay.#variables = {
      CHAT_RELAY_LISTEN: relay.url.slice("http://".length),
      CHAT_RELAY_ADMIN_LISTEN: "127.0.0.1:0",
      CHAT_RELAY_GRPC_LISTEN: "127.0.0.1:0",
      CHAT_RELAY_OPS_LISTEN: "127.0.0.1:0",
      CHAT_RELAY_DATA_DIR: relay.#data,
      CHAT_RELAY_LOG_FORMAT: "json",
      ADMIN_API_KEY: ADMIN_KEY,
      // With a relay_url the admin API would be closed: it would not be a laptop's relay any more.
      ...(relayUrl === undefined ? {} : { CHAT_RELAY_RELAY_URL: relayUrl, CHAT_RELAY_EXPOSE_ADMIN_API: "true" }),
      ...(mailUrl === undefined
        ? {}
        : {
            CHAT_BACKEND_SMTP_URL: mailUrl,
            CHAT_BACKEND_SMTP_FROM: "Northwind <chat@northwind.example>",
            CHAT_BACKEND_MAIL_AFTER_MS: "3000",
          }),
    };
    await relay.restart();
    return relay;
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /** Starts it where it was and with the data it had; answers when it serves. */
  async restart() {
    const child = spawn(binary(), [], { env: this.#variables, stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    process.once("exit", () => child.kill("SIGKILL"));
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`the relay ended with ${code}:\n${this.#log.slice(-20).join("\n")}`);
    });
    const listens = new Promise((resolve) => {
      createInterface({ input: child.stderr }).on("line", (line) => {
        this.#log.push(line);
        if (line.includes('"listening"') && line.includes('"server":"gateway"')) resolve();
      });
    });
    await Promise.race([listens, ended]);
    ended.catch(() => undefined);
  }

  async stop() {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }

  /** Ends it at once, as `kill -9` does. */
  async kill() {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** A new tenant whose pages may be of these origins, with an account key and what its widget needs to know. */
  async provision(origins, fields = {}) {
    const provisioned = await this.#operator("POST", "provision/tenant", {
      tenant_name: "Northwind",
      allowed_origins: origins,
      rate_limit_per_min: 10_000,
      ...fields,
    });
    const id = provisioned.tenant_id;
    const key = await this.#operator("POST", `create/account-key?tenant_id=${id}`, {
      name: "browser tests",
      abilities: ["widgets:*"],
    });
    return new Tenant(this, { id, secret: provisioned.tenant_secret, accountKey: key.account_key });
  }

  /** Makes the tenant's only conversation so many. */
  crowd(tenant, count) {
    const program = fileURLToPath(new URL("crowd.py", import.meta.url));
    execFileSync(PYTHON, [program, join(this.#data, "chat-backend.db"), tenant.id, String(count)]);
  }

  rotateWidgetKey(tenant) {
    return this.#operator("POST", `rotate/widget-key?tenant_id=${tenant.id}`);
  }

  suspend(tenant) {
    return this.#operator("POST", `suspend/tenant?tenant_id=${tenant.id}`);
  }

  reactivate(tenant) {
    return this.#operator("POST", `reactivate/tenant?tenant_id=${tenant.id}`);
  }

  update(tenant, fields) {
    return this.#operator("POST", `update/tenant?tenant_id=${tenant.id}`, fields);
  }

  #operator(method, path, body) {
    return this.call(method, path, { "X-Admin-Key": ADMIN_KEY }, body);
  }

  /** `data` of the answer, which must be a success. */
  async call(method, path, headers, body) {
    const json = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: { ...json, ...headers },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
    return JSON.parse(answer).data;
  }

  /** Never the same twice: one signature is one call. */
  timestamp() {
    this.#lastTimestamp = Math.max(Date.now(), this.#lastTimestamp + 1);
    return String(this.#lastTimestamp);
  }
}

/** A tenant's backend and its developers. */
class Tenant {
  #relay;
  #accountKey;

  constructor(relay, { id, secret, accountKey }) {
    this.#relay = relay;
    this.id = id;
    this.secret = secret;
    this.#accountKey = accountKey;
  }

  ingest(title, body, language = "en", fields = {}) {
    return this.signed("POST", "ingest/knowledge", { title, body, language, ...fields });
  }

  /** The conversations there are, newest first. */
  async conversations() {
    return (await this.signed("GET", "fetch/conversations")).items;
  }

  /** The only conversation there is. */
  async conversation() {
    const all = await this.conversations();
    assert.equal(all.length, 1, "conversations");
    return all[0];
  }

  /** What the chat backend has kept of the only conversation, or of this one, oldest first. */
  async messages(conversation) {
    const { id } = conversation ?? (await this.conversation());
    return (await this.signed("GET", `fetch/messages?conversation_id=${id}&limit=500`)).items;
  }

  async say(role, content, fields = {}) {
    const { id } = await this.conversation();
    return this.signed("POST", `add/message?conversation_id=${id}`, { role, content, ...fields });
  }

  /** The line to paste, with the tenant's own widget key. */
  async embedCode() {
    const bot = await this.#bot();
    const { items } = await this.#developer("GET", `widgets/keys?bot_id=${bot}`);
    const [key, ...others] = items.filter((key) => key.is_active);
    assert.deepEqual(others, [], "further widget keys");
    return this.#embed(bot, key);
  }

  /** The line to paste with a further widget key. */
  async furtherEmbedCode(name) {
    const bot = await this.#bot();
    return this.#embed(bot, await this.#developer("POST", "widgets/keys", { bot_id: bot, name }));
  }

  async #embed(bot, key) {
    return (await this.#developer("GET", `widgets/embed-code?bot_id=${bot}&api_key_id=${key.id}`)).embed_code;
  }

  async customize(look) {
    return this.#developer("PUT", "widgets/customization", { bot_id: await this.#bot(), ...look });
  }

  async #bot() {
    return (await this.#developer("GET", "bots")).items[0].bot_id;
  }

  #developer(method, path, body) {
    return this.#relay.call(method, path, { Authorization: `Bearer ${this.#accountKey}` }, body);
  }

  signed(method, path, body) {
    const text = body === undefined ? "" : JSON.stringify(body);
    const timestamp = this.#relay.timestamp();
    const digest = createHash("sha256").update(text).digest("hex");
    const headers = {
      "X-Bloonio-Tenant-Id": this.id,
      "X-Bloonio-Timestamp": timestamp,
      "X-Bloonio-Signature": createHmac("sha256", this.secret).update(`${timestamp}.${digest}`).digest("hex"),
    };
    return this.#relay.call(method, `relay/${path}`, headers, body === undefined ? undefined : text);
  }
}
