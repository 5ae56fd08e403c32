// urql without a framework: HTTP for queries and mutations, graphql-ws for subscriptions.

import { Client, fetchExchange, subscriptionExchange } from "@urql/core";

import { BAD_TOKEN, FEED, SEND, WHO, note, socketClient, through, within } from "./support.mjs";

export async function urql(bench) {
  const user = await bench.register();
  const methods = [];
  const watched = (address, init) => {
    methods.push(init.method);
    return fetch(address, init);
  };
  const wire = await bench.wire();
  const socket = socketClient(bench, user, through(wire));
  const open = (settings, authorization = user.authorization) =>
    new Client({
      url: bench.url,
      fetch: watched,
      fetchOptions: { headers: { authorization } },
      preferGetMethod: false,
      exchanges: [subscriptionExchange({ forwardSubscription: (request) => resuming(socket, request) }), fetchExchange],
      ...settings,
    });
  const client = open();
  const who = (client) => within("a query", client.query(WHO, {}).toPromise());
  const send = async (id) => {
    const { data, error } = await client.mutation(SEND, note(user, id)).toPromise();
    if (error) throw error;
    return data.sendMessage.message;
  };

  bench.equal("a query", (await who(client)).data?.viewer.user.username, user.username);
  bench.equal("a mutation", (await send("urql")).clientMessageId, "urql");
  await bench.resumes("a subscription that is cut", wire, send, (feed) => {
    const events = client.subscription(FEED, {});
    const subscription = events.subscribe(({ data, error }) => (error ? feed.fail(error) : feed.next({ data })));
    return () => subscription.unsubscribe();
  });

  const { error } = await who(open({}, BAD_TOKEN));
  bench.equal("with a bad token, a coded error", error?.graphQLErrors[0]?.extensions.code ?? error, "UNAUTHENTICATED");

  methods.length = 0;
  const getting = await who(open({ preferGetMethod: "force" }));
  bench.equal("a query by GET", getting.data?.viewer.user.username, user.username);
  bench.equal("was one by GET", methods, ["GET"]);
}

/** Keeps `after` at the last event's cursor, which graphql-ws reads when it subscribes again. */
function resuming(socket, { query, variables }) {
  const request = { query, variables: { ...variables } };
  const subscribe = (sink) => {
    const next = (result) => {
      if (result.data?.messageFeed) request.variables.after = result.data.messageFeed.cursor;
      sink.next(result);
    };
    const error = (error) => sink.error(error);
    return { unsubscribe: socket.subscribe(request, { next, error, complete: () => sink.complete() }) };
  };
  return { subscribe };
}
