// The audits of GraphQL over HTTP that graphql-http publishes.

import { serverAudits } from "graphql-http";

const COUNT = 61;

export async function audits(bench) {
  const all = serverAudits({ url: bench.url, fetchFn: fetch });
  bench.equal(`there are ${COUNT} audits`, all.length, COUNT);
  for (const audit of all) {
    const result = await audit.fn();
    bench.check(`${audit.id} ${audit.name}`, result.status === "ok", result.reason);
  }
}
