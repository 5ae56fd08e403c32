// Real GraphQL clients against a running server: node clients.mjs --url http://127.0.0.1:8000/graphql

import { parseArgs } from "node:util";

import { apollo } from "./apollo.mjs";
import { audits } from "./audits.mjs";
import { graphqlSse } from "./graphql-sse.mjs";
import { graphqlWs } from "./graphql-ws.mjs";
import { Bench } from "./support.mjs";
import { urql } from "./urql.mjs";

const { values: options } = parseArgs({ options: { url: { type: "string" } } });
if (!options.url) {
  console.error("usage: node clients.mjs --url URL");
  process.exit(2);
}

const suites = { audits, "graphql-ws": graphqlWs, "graphql-sse": graphqlSse, apollo, urql };
let passed = 0;
let failed = 0;
for (const [name, suite] of Object.entries(suites)) {
  const bench = new Bench(name, options.url);
  try {
    await suite(bench);
  } catch (error) {
    bench.check("reaches the end", false, error.stack);
  }
  await bench.close();
  passed += bench.passed;
  failed += bench.failed;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
