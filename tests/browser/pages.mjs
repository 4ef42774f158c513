// Host pages, on origins which are not the relay's: a plain server, reached by several names of this machine.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

export class Pages {
  #server = createServer((request, response) => this.#answer(request, response));
  #pages = new Map();
  #scripts = new Map();

  static async start() {
    const pages = new Pages();
    pages.#server.listen(0, "127.0.0.1");
    await once(pages.#server, "listening");
    return pages;
  }

  /** Browsers take every name under localhost for this machine, and each for an origin of its own. */
  origin(host = "shop") {
    return `http://${host}.localhost:${this.#server.address().port}`;
  }

  /** The address, the same on every origin, of a file of a library from npm. */
  library(file) {
    const path = `/libraries/${file}`;
    this.#scripts.set(path, fileURLToPath(new URL(`node_modules/${file}`, import.meta.url)));
    return path;
  }

  /** Puts up a page around some HTML, and answers its path. */
  put(path, body, { lang = "en", dir = "ltr", head = "", headers = {} } = {}) {
    const html = `<!doctype html>
<html lang="${lang}" dir="${dir}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>A shop</title>${head}</head>
<body><main><h1>A shop</h1><p><button id="host" type="button">A button of the page</button></p></main>
${body}</body></html>`;
    this.#pages.set(path, { html, headers });
    return path;
  }

  /** Puts up a file as it is. */
  putRaw(path, body, type = "text/html") {
    this.#pages.set(path, { html: body, headers: { "Content-Type": `${type}; charset=utf-8` } });
  }

  async stop() {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  #answer(request, response) {
    const script = this.#scripts.get(request.url);
    if (script !== undefined) {
      const type = script.endsWith(".css") ? "text/css" : "text/javascript";
      response.writeHead(200, { "Content-Type": `${type}; charset=utf-8` }).end(readFileSync(script));
      return;
    }
    const page = this.#pages.get(request.url);
    if (page === undefined) {
      response.writeHead(request.url === "/favicon.ico" ? 204 : 404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", ...page.headers }).end(page.html);
  }
}
