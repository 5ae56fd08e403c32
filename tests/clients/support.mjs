// Shared code of the client tests: claims, a user, operations, a connection to cut, and a feed to watch.

import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { connect, createServer } from "node:net";
import { inspect, isDeepStrictEqual } from "node:util";

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const PATIENCE = 20_000;

export const WHO = "query Who { viewer { user { id username } } }";
export const SEND = `mutation Send($input: SendMessageInput!) {
  sendMessage(input: $input) { message { id clientMessageId } }
}`;
export const FEED = `subscription Feed($after: String) {
  messageFeed(after: $after) { cursor kind messageId message { id clientMessageId } }
}`;
export const BAD_TOKEN = "Bearer not.a.token";

/** Counter of one client's claims, which also closes the resources of the test. */
export class Bench {
  passed = 0;
  failed = 0;
  #closers = [];

  constructor(name, url) {
    this.name = name;
    this.url = url;
  }

  check(claim, holds, found = "") {
    if (holds) this.passed += 1;
    else this.failed += 1;
    console.log(`${holds ? "ok  " : "FAIL"} ${this.name}: ${claim}`);
    if (!holds) console.log(`     ${typeof found === "string" ? found : inspect(found, { depth: 6 })}`);
  }

  equal(claim, found, expected) {
    this.check(claim, isDeepStrictEqual(found, expected), { found, expected });
  }

  onClose(closer) {
    this.#closers.push(closer);
  }

  async close() {
    for (const closer of this.#closers.reverse()) await closer();
  }

  /** Registers a user who sends notes to themselves. Each note is one event in one feed. */
  async register() {
    const username = `${this.name}-${randomBytes(6).toString("hex")}`;
    const input = { username, email: `${username}@example.com`, password: "plum-anvil-cobalt-drizzle-42" };
    const response = await fetch(this.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        query: "mutation($input: RegisterInput!) { register(input: $input) { accessToken viewer { user { id } } } }",
        variables: { input },
      }),
    });
    const answer = await response.json();
    if (!answer.data?.register) throw new Error(`cannot register: ${JSON.stringify(answer)}`);
    const { accessToken, viewer } = answer.data.register;
    return { username, id: viewer.user.id, authorization: `Bearer ${accessToken}` };
  }

  /** Opens a connection to the server that the test can cut. */
  async wire() {
    const wire = new Wire(this.url);
    await wire.open();
    this.onClose(() => wire.close());
    return wire;
  }

  /**
   * Cuts a feed's connection, sends meanwhile, and compares the received notes with the sent ones.
   * `follow(feed)` starts the subscription and returns a function that ends it. `send(clientMessageId)` sends a note.
   */
  async resumes(how, wire, send, follow) {
    const sent = ["backlog", "live", "missed", "again-live"].map((step) => `${step}-${randomBytes(4).toString("hex")}`);
    const before = wire.connections;
    await send(sent[0]);
    const feed = new Feed();
    const stop = follow(feed);
    try {
      await feed.until("CAUGHT_UP", ({ events }) => events.some(({ kind }) => kind === "CAUGHT_UP"));
      await send(sent[1]);
      await feed.until("the live event", () => feed.notes.includes(sent[1]));
      wire.cut();
      await send(sent[2]);
      wire.mend();
      await feed.until("the missed event", () => feed.notes.includes(sent[2]));
      await send(sent[3]);
      await feed.until("the event after", () => feed.notes.includes(sent[3]));
    } catch (error) {
      this.check(`${how}: the feed comes back`, false, error.message);
    } finally {
      stop();
    }
    const own = feed.notes.filter((note) => sent.includes(note));
    this.equal(`${how}: misses nothing and repeats nothing`, own, sent);
    this.check(`${how}: repeats no older event either`, new Set(feed.notes).size === feed.notes.length, feed.notes);
    this.check(`${how}: the connection was made anew`, wire.connections - before >= 2, wire.connections - before);
  }
}

/** Events of a subscription as they arrive. */
export class Feed {
  events = [];
  #news = new EventEmitter();
  #error;

  get cursor() {
    return this.events.at(-1)?.cursor;
  }

  get notes() {
    return this.events.filter(({ kind }) => kind === "SENT").map(({ message }) => message?.clientMessageId);
  }

  next(result) {
    if (result.errors?.length) return this.fail(result.errors);
    this.events.push(result.data.messageFeed);
    this.#news.emit("news");
  }

  fail(error) {
    this.#error = error;
    this.#news.emit("news");
  }

  async until(what, holds) {
    const signal = AbortSignal.timeout(PATIENCE);
    while (!holds(this)) {
      if (this.#error) throw new Error(`${what}: ${inspect(this.#error)}`);
      await once(this.#news, "news", { signal }).catch(() => {
        throw new Error(`${what} never came: ${inspect(this.events)}`);
      });
    }
  }
}

/** TCP proxy in front of the server. While it is cut, it rejects all connections. */
class Wire {
  connections = 0;
  #target;
  #open = new Set();
  #mended = Promise.resolve();
  #mend = () => {};
  #isCut = false;
  #server = createServer((client) => this.#join(client));

  constructor(url) {
    this.#target = new URL(url);
  }

  async open() {
    await once(this.#server.listen(0, "127.0.0.1"), "listening");
    const url = new URL(this.#target);
    url.port = this.#server.address().port;
    this.http = url.href;
    this.ws = url.href.replace(/^http/, "ws");
  }

  cut() {
    this.#isCut = true;
    this.#mended = new Promise((resolve) => (this.#mend = resolve));
    for (const socket of this.#open) socket.destroy();
  }

  mend() {
    this.#isCut = false;
    this.#mend();
  }

  /** Returns a promise that a client waits for before it retries. */
  mended = () => this.#mended;

  close() {
    this.cut();
    this.#server.close();
  }

  #join(client) {
    if (this.#isCut) return client.destroy();
    this.connections += 1;
    const server = connect(this.#target.port || 80, this.#target.hostname);
    for (const [socket, other] of [[client, server], [server, client]]) {
      this.#open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#open.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}

export const note = (user, clientMessageId) => ({
  input: {
    recipientId: user.id,
    clientMessageId,
    encryptedContent: Buffer.from(clientMessageId).toString("base64"),
    iv: Buffer.alloc(12).toString("base64"),
  },
});

const wsUrl = (url) => url.replace(/^http/, "ws");

/** Opens a graphql-ws client of a user, which the bench disposes of. */
export function socketClient(bench, user, settings) {
  const client = createClient({
    url: wsUrl(bench.url),
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: user.authorization },
    ...settings,
  });
  bench.onClose(() => client.dispose());
  return client;
}

/** Returns the settings of a client that reconnects through a wire that was cut. */
export const through = (wire) => ({ url: wire.ws, retryWait: wire.mended, shouldRetry: () => true });

/** Returns `value`, or fails if it takes too long. */
export async function within(what, value) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took too long`)), PATIENCE);
  });
  return Promise.race([value, late]).finally(() => clearTimeout(timer));
}
