// The network between browser and relay: a TCP proxy that can be cut, stalled, or made to lose the answers.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Link {
  #server = createServer((browser) => this.#join(browser));
  #target = 0;
  #pairs = new Set();
  #isCut = false;
  #losesAnswers = false;
  #lastWords = null;
  #silent = new WeakSet();

  static async start() {
    const link = new Link();
    link.#server.listen(0, "127.0.0.1");
    await once(link.#server, "listening");
    link.url = `http://127.0.0.1:${link.#server.address().port}`;
    return link;
  }

  leadTo(port) {
    this.#target = port;
  }

  /** Breaks every connection, and takes no new one. */
  cut() {
    this.#isCut = true;
    this.#losesAnswers = false;
    for (const socket of this.#pairs) socket.resetAndDestroy();
  }

  /** Breaks off in the middle of what the relay says, right before these words; then takes no new connection. */
  cutBefore(words) {
    this.#lastWords = words;
  }

  mend() {
    this.#isCut = false;
    this.#losesAnswers = false;
  }

  /** From now on what the relay says is lost on the way; what browsers say arrives. */
  loseAnswers() {
    this.#losesAnswers = true;
  }

  /** What was lost stays lost, and so do its connections; new ones are as good as any. */
  hearAgain() {
    this.#losesAnswers = false;
    for (const socket of this.#pairs) this.#silent.add(socket);
  }

  async stop() {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(browser) {
    if (this.#isCut) {
      browser.resetAndDestroy();
      return;
    }
    const relay = connect(this.#target, "127.0.0.1");
    for (const [one, other] of [[browser, relay], [relay, browser]]) {
      this.#pairs.add(one);
      one.setNoDelay(true);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#pairs.delete(one);
        other.destroy();
      });
    }
    browser.on("data", (bytes) => relay.write(bytes));
    relay.on("data", (bytes) => this.#pass(browser, bytes));
  }
  #pass(browser, bytes) {
    if (this.#losesAnswers || this.#silent.has(browser)) return;
    const end = this.#lastWords === null ? -1 : bytes.indexOf(this.#lastWords);
    if (end < 0) {
      browser.write(bytes);
      return;
    }
    this.#lastWords = null;
    this.#isCut = true;
    this.#silent.add(browser);
    browser.end(bytes.subarray(0, end));
  }
}
