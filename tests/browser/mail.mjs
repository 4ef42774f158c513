// A mail server on a port of its own that keeps what it takes.
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

export class MailServer {
  /** `{ to, text }` of each mail, oldest first. */
  mails = [];
  #sockets = new Set();
  #server = createServer((socket) => this.#converse(socket));

  static async start() {
    const server = new MailServer();
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    server.url = `smtp://127.0.0.1:${server.#server.address().port}`;
    return server;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #converse(socket) {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    let to = "";
    let data = null;
    socket.write("220 test\r\n");
    createInterface({ input: socket, crlfDelay: Infinity }).on("line", (line) => {
      if (data === null) {
        to = /^RCPT TO:<(.*)>/i.exec(line)?.[1] ?? to;
        if (line === "DATA") data = [];
        socket.write(line === "DATA" ? "354 go on\r\n" : line === "QUIT" ? "221 bye\r\n" : "250 ok\r\n");
      } else if (line === ".") {
        this.mails.push({ to, text: data.join("\n") });
        data = null;
        socket.write("250 taken\r\n");
      } else data.push(line);
    });
  }
}
