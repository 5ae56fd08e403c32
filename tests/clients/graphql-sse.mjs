// The npm package graphql-sse in distinct connections mode.

import { createClient } from "graphql-sse";

import { BAD_TOKEN, FEED, SEND, WHO, note, within } from "./support.mjs";

export async function graphqlSse(bench) {
  const user = await bench.register();
  const open = (settings) => {
    const client = createClient({ url: bench.url, headers: { authorization: user.authorization }, ...settings });
    bench.onClose(() => client.dispose());
    return client;
  };
  const client = open();
  const send = async (id) => (await once(client, SEND, note(user, id))).data.sendMessage.message;

  bench.equal("a query", (await once(client, WHO)).data?.viewer.user.username, user.username);
  bench.equal("a mutation", (await send("graphql-sse")).clientMessageId, "graphql-sse");

  const wire = await bench.wire();
  const settings = { url: wire.http, retry: wire.mended };
  await bench.resumes("a subscription that is cut, by `after`", wire, send, (feed) => {
    const variables = {
      // Read again at each retry.
      get after() {
        return feed.cursor;
      },
    };
    return follow(open(settings), { query: FEED, variables }, feed);
  });
  await bench.resumes("a subscription that is cut, by Last-Event-ID", wire, send, (feed) => {
    // The client does not read `id:`. The claim below asserts that it is the cursor.
    const headers = () => ({
      authorization: user.authorization,
      ...(feed.cursor && { "last-event-id": feed.cursor }),
    });
    return follow(open({ ...settings, headers }), { query: FEED }, feed);
  });

  const { id, cursor } = await firstEvent(bench.url, user);
  bench.check("an event's id is its cursor", id && id === cursor, { id, cursor });

  const stranger = await once(open({ headers: {}, retryAttempts: 0 }), FEED).catch((error) => error);
  bench.equal("without a token, a coded error", await code(stranger), "UNAUTHENTICATED");
  const refused = open({ headers: { authorization: BAD_TOKEN }, retryAttempts: 0 });
  const refusal = await once(refused, WHO).catch((error) => error);
  bench.equal("with a bad token, a coded error", await code(refusal), "UNAUTHENTICATED");
}

function follow(client, request, feed) {
  const sink = { next: (result) => feed.next(result), error: (error) => feed.fail(error), complete() {} };
  return client.subscribe(request, sink);
}

/** Returns the error code of a result, or of the response in a NetworkError. */
async function code(found) {
  const { errors } = found.response ? await found.response.json() : found;
  return errors?.[0].extensions?.code ?? found;
}

/** Returns the id of a feed's first event and the cursor in its data, read from the wire. */
async function firstEvent(url, user) {
  const control = new AbortController();
  const response = await fetch(url, {
    method: "POST",
    headers: {
      accept: "text/event-stream",
      authorization: user.authorization,
      "content-type": "application/json",
    },
    body: JSON.stringify({ query: FEED }),
    signal: control.signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n\n")) {
    const { value, done } = await within("the first event", reader.read());
    if (done) break;
    text += value;
  }
  control.abort();
  const field = (name) => text.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
  return { id: field("id"), cursor: JSON.parse(field("data") ?? "{}").data?.messageFeed.cursor };
}

/** Returns the last result of an operation that ends. */
function once(client, query, variables) {
  return within(
    "an operation",
    new Promise((resolve, reject) => {
      let result;
      client.subscribe({ query, variables }, {
        next: (next) => (result = next),
        error: reject,
        complete: () => resolve(result),
      });
    }),
  );
}
