// Apollo Client without React: HTTP for queries and mutations, graphql-ws for subscriptions.

import { createHash, randomBytes } from "node:crypto";

import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { map } from "rxjs";

import { BAD_TOKEN, FEED, SEND, WHO, note, socketClient, through, within } from "./support.mjs";

export async function apollo(bench) {
  const user = await bench.register();
  const requests = [];
  const watched = (address, init) => {
    requests.push({ method: init.method, address: String(address), body: init.body });
    return fetch(address, init);
  };
  const http = (settings) =>
    new HttpLink({ uri: bench.url, fetch: watched, headers: { authorization: user.authorization }, ...settings });
  const client = open(bench, http());
  const send = async (id) => {
    const { data } = await client.mutate({ mutation: gql(SEND), variables: note(user, id) });
    return data.sendMessage.message;
  };
  const who = (client, query = WHO) =>
    within("a query", client.query({ query: gql(query), fetchPolicy: "network-only" }));

  bench.equal("a query", (await who(client)).data?.viewer.user.username, user.username);
  bench.equal("a mutation", (await send("apollo")).clientMessageId, "apollo");

  const wire = await bench.wire();
  const socket = socketClient(bench, user, through(wire));
  const live = open(bench, ApolloLink.from([resuming, new GraphQLWsLink(socket)]));
  await bench.resumes("a subscription that is cut", wire, send, (feed) => {
    const events = live.subscribe({ query: gql(FEED), fetchPolicy: "no-cache" });
    const subscription = events.subscribe({
      next: ({ data, error }) => (error ? feed.fail(error) : feed.next({ data })),
      error: (error) => feed.fail(error),
    });
    return () => subscription.unsubscribe();
  });

  const refused = open(bench, http({ headers: { authorization: BAD_TOKEN } }));
  const error = await who(refused).catch((error) => error);
  bench.equal("with a bad token, a coded error", error.errors?.[0].extensions?.code ?? error, "UNAUTHENTICATED");

  requests.length = 0;
  const getting = await who(open(bench, http({ useGETForQueries: true })));
  bench.equal("a query by GET", getting.data?.viewer.user.username, user.username);
  bench.equal("was one by GET", requests.map(({ method }) => method), ["GET"]);

  await persists(bench, requests, http, who);
}

async function persists(bench, requests, http, who) {
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const persisting = open(bench, ApolloLink.from([new PersistedQueryLink({ sha256 }), http()]));
  // A random name makes the document new to the server.
  const query = WHO.replace("Who", `Who_${randomBytes(6).toString("hex")}`);
  const hasText = () => requests.splice(0).map(({ body }) => "query" in JSON.parse(body));
  requests.length = 0;
  const first = await who(persisting, query);
  bench.check("a persisted query, new to the server", first.data?.viewer, first);
  bench.equal("sends the digest, then the text", hasText(), [false, true]);
  const second = await who(persisting, query);
  bench.check("a persisted query, known to the server", second.data?.viewer, second);
  bench.equal("sends the digest alone", hasText(), [false]);
}

/** Keeps `after` at the last event's cursor, which graphql-ws reads when it subscribes again. */
const resuming = new ApolloLink((operation, forward) =>
  forward(operation).pipe(
    map((result) => {
      if (result.data?.messageFeed) operation.variables.after = result.data.messageFeed.cursor;
      return result;
    }),
  ),
);

function open(bench, link) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  bench.onClose(() => client.stop());
  return client;
}
