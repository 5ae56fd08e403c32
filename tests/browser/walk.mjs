// The tutorial (walk.js) in Chromium, with keyboard and mouse, against a running server.
//
// node walk.mjs --url http://127.0.0.1:8000/graphql --kind graphiql|explorer
//   [--chromium /usr/bin/chromium] [--screenshot file.png] [--viewport 1280x800] [--scheme light|dark]

import path from "node:path";
import { parseArgs } from "node:util";

import { check, suite } from "./browser.mjs";
import { Explorer } from "./explorer.mjs";
import { Graphiql } from "./graphiql.mjs";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    kind: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    screenshot: { type: "string" },
    viewport: { type: "string", default: "1280x800" },
    scheme: { type: "string", default: "light" },
  },
});
const Page = { graphiql: Graphiql, explorer: Explorer }[options.kind];
if (!options.url || !Page) {
  console.error("usage: node walk.mjs --url URL --kind graphiql|explorer");
  process.exit(2);
}

const [width, height] = options.viewport.split("x").map(Number);
const { url, scheme, chromium } = options;
await suite({ url, chromium, viewport: { width, height }, colorScheme: scheme }, async (context) => {
  try {
    await walk(context);
  } catch (error) {
    await screenshot(context, "failed");
    throw error;
  }
});

async function walk(context) {
  const suffix = Date.now().toString(36);
  const alice = `alice_${suffix}`;
  const bob = `bob_${suffix}`;
  const person = (username) => ({ username, email: `${username}@example.com` });
  const first = await open();

  const registered = await first.run("RegisterAlice", { input: person(alice) });
  check("alice registers", registered.includes(alice) && registered.includes("accessToken"), registered);
  check("bob registers", (await first.run("RegisterBob", { input: person(bob) })).includes(bob));

  const second = Page.changingStepsStopsTheFeed ? await open() : first;
  check("alice logs in", (await second.run("LogIn", { input: { login: alice } })).includes(alice));
  const met = await second.run("WhoAmI", { friend: bob });
  check("the token says who alice is, and she finds bob", met.includes(alice) && met.includes(bob), met);

  await first.follow("FollowFeed");
  check("bob's feed catches up", (await first.event("CAUGHT_UP")).includes("CAUGHT_UP"));
  const content = Buffer.from(`hello ${suffix}`).toString("base64");
  const message = { encryptedContent: content, clientMessageId: suffix };
  check("alice sends", (await second.run("SendMessage", { input: message })).includes(suffix));
  const event = await first.event(content);
  check("the message arrives in bob's feed", event.includes("SENT") && event.includes(alice), event);
  await screenshot(context, path.parse(options.screenshot ?? "").name);

  const said = await second.run("Conversation", {});
  check("the conversation holds the message", said.includes(content) && said.includes(bob), said);

  async function open() {
    const page = new Page(await context.newPage());
    await page.page.goto(options.url);
    await page.ready();
    return page;
  }
}

async function screenshot(context, name) {
  if (!options.screenshot) return;
  const folder = path.dirname(options.screenshot);
  for (const [index, page] of context.pages().filter((page) => page.url() === options.url).entries()) {
    await page.screenshot({ path: path.join(folder, `${name}${index ? `-${index + 1}` : ""}.png`), fullPage: true });
  }
}
