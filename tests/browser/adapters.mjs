// The published client's receivers, as a tenant's backend runs them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { PYTHON } from "./python.mjs";

export class Adapter {
  /** Each event that a handler got, oldest first. */
  events = [];
  #process;

  /** `kind` is `fastapi` or `django`. */
  static async start(kind) {
    const adapter = new Adapter();
    const program = fileURLToPath(new URL("adapters.py", import.meta.url));
    const child = spawn(PYTHON, [program, kind], { stdio: ["pipe", "pipe", "inherit"] });
    adapter.#process = child;
    process.once("exit", () => child.kill("SIGKILL"));
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`the receiver ended with ${code}`);
    });
    [adapter.url] = await Promise.race([once(lines, "line"), ended]);
    ended.catch(() => undefined);
    lines.on("line", (line) => adapter.events.push(JSON.parse(line)));
    return adapter;
  }

  /** From now on it takes this tenant's events. */
  become(tenant) {
    this.#process.stdin.write(`${tenant.id} ${tenant.secret}\n`);
  }

  async stop() {
    const gone = once(this.#process, "exit");
    this.#process.stdin.end();
    await gone;
  }
}
