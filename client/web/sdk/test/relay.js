// A relay between client and server that can drop and repeat the server's frames and cut connections.

import net from "node:net";

export class Relay {
  /** Returns what to do with a frame from the server: "pass", "drop", "twice", or "cut" (close the connection instead). */
  decide = () => "pass";
  refuse = false; // close connections as soon as they are made
  #target;
  #server;
  #pairs = new Set();

  constructor(url) {
    this.#target = new URL(url);
  }

  async listen() {
    this.#server = net.createServer((client) => this.#relay(client));
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `ws://127.0.0.1:${this.#server.address().port}/ws`;
    return this;
  }

  #relay(client) {
    if (this.refuse) return client.destroy();
    const server = net.connect(this.#target.port, this.#target.hostname);
    const pair = { end: () => [client, server].forEach((s) => s.destroy()) };
    this.#pairs.add(pair);
    for (const s of [client, server]) {
      s.on("error", pair.end);
      s.on("close", () => {
        pair.end();
        this.#pairs.delete(pair);
      });
    }
    client.on("data", (bytes) => server.write(bytes));
    let left = Buffer.alloc(0);
    let greeted = false;
    server.on("data", (bytes) => {
      left = Buffer.concat([left, bytes]);
      if (!greeted) {
        const end = left.indexOf("\r\n\r\n");
        if (end < 0) return;
        greeted = true;
        client.write(left.subarray(0, end + 4));
        left = left.subarray(end + 4);
      }
      for (let n; (n = frameLength(left)) > 0 && n <= left.length; left = left.subarray(n)) {
        const frame = left.subarray(0, n);
        const text = (frame[0] & 15) === 1;
        const what = text ? this.decide(JSON.parse(payload(frame).toString())) : "pass";
        if (what === "cut") return pair.end();
        if (what !== "drop") client.write(frame);
        if (what === "twice") client.write(frame);
      }
    });
  }

  /** Closes all connections. */
  cut() {
    for (const pair of [...this.#pairs]) pair.end();
  }

  close() {
    this.cut();
    this.#server.close();
  }
}

/** Returns the length of the WebSocket frame at the start of b, or 0 if it isn't
 * known yet. Frames from a server aren't masked. */
function frameLength(b) {
  if (b.length < 2) return 0;
  const n = b[1] & 127;
  if (n < 126) return 2 + n;
  if (n === 126) return b.length < 4 ? 0 : 4 + b.readUInt16BE(2);
  return b.length < 10 ? 0 : 10 + Number(b.readBigUInt64BE(2));
}

function payload(frame) {
  const n = frame[1] & 127;
  return frame.subarray(n < 126 ? 2 : n === 126 ? 4 : 10);
}
