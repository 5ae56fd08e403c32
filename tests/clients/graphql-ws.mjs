// The npm package graphql-ws: all operations over one socket.

import { BAD_TOKEN, FEED, SEND, WHO, note, socketClient, through, within } from "./support.mjs";

export async function graphqlWs(bench) {
  const user = await bench.register();
  const open = (settings) => socketClient(bench, user, settings);
  const client = open();
  const send = async (id) => (await once(client, SEND, note(user, id))).data.sendMessage.message;

  bench.equal("a query", (await once(client, WHO)).data?.viewer.user.username, user.username);
  bench.equal("a mutation", (await send("graphql-ws")).clientMessageId, "graphql-ws");

  const wire = await bench.wire();
  const retrying = open(through(wire));
  await bench.resumes("a subscription that is cut", wire, send, (feed) => follow(retrying, feed));

  const stranger = await once(open({ connectionParams: {} }), FEED);
  bench.equal("without a token, a coded error", stranger.errors?.[0].extensions?.code, "UNAUTHENTICATED");
  const refused = open({ connectionParams: { Authorization: BAD_TOKEN }, retryAttempts: 0 });
  bench.equal("with a bad token, code 4403", (await once(refused, WHO).catch((closed) => closed)).code, 4403);

  await renews(bench, open, user, send);
}

function follow(client, feed) {
  const variables = {
    // Read again at each retry.
    get after() {
      return feed.cursor;
    },
  };
  const sink = { next: (result) => feed.next(result), error: (error) => feed.fail(error), complete() {} };
  return client.subscribe({ query: FEED, variables }, sink);
}

async function renews(bench, open, user, send) {
  let socket;
  let ponged;
  const pong = new Promise((resolve) => (ponged = resolve));
  const client = open({
    lazy: false,
    on: { opened: (opened) => (socket = opened), pong: (received, payload) => received && ponged(payload) },
  });
  const feed = client.iterate({ query: FEED });
  const upTo = async (found) => {
    for (;;) {
      const { value, done } = await feed.next();
      if (done) return undefined;
      if (found(value.data.messageFeed)) return value.data.messageFeed;
    }
  };
  await within("catching up", upTo(({ kind }) => kind === "CAUGHT_UP"));
  socket.send(JSON.stringify({ type: "ping", payload: { Authorization: user.authorization } }));
  const payload = await within("the pong", pong);
  bench.check("a ping with a token renews it", Date.parse(payload?.accessTokenExpiresAt) > Date.now(), payload);
  await send("renewed");
  const event = await within("the event", upTo(({ message }) => message?.clientMessageId === "renewed"));
  bench.equal("and the stream goes on", event?.kind, "SENT");
  await feed.return();

  const closed = new Promise((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
  socket.send(JSON.stringify({ type: "ping", payload: { Authorization: BAD_TOKEN } }));
  bench.equal("a ping with a bad token closes with 4403", await within("the close", closed), 4403);
}

/** Returns the last result of an operation that ends. */
function once(client, query, variables) {
  return within(
    "an operation",
    new Promise((resolve, reject) => {
      let result;
      const error = (error) => (Array.isArray(error) ? resolve({ errors: error }) : reject(error));
      const next = (next) => (result = next);
      client.subscribe({ query, variables }, { next, error, complete: () => resolve(result) });
    }),
  );
}
