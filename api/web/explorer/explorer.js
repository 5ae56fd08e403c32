// The small explorer: runs the operation in its editor, and logs the events of subscriptions.

import { ENDPOINT, post } from "./transport.js";
import { fill, remember, signedIn, walk } from "./walk.js";

const at = (id) => document.getElementById(id);
const pretty = (value) => JSON.stringify(value, null, 2);
let running = null;

for (const step of walk) {
  const name = step.query.match(/^(?:query|mutation|subscription) (\w+)/m)[1];
  const item = document.createElement("li");
  item.append(button(name, (event) => open(step, event.target)));
  at("steps").append(item);
}
open(walk[0], at("steps").querySelector("button"));

at("editor").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
at("editor").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("editor").requestSubmit();
});
at("stop").addEventListener("click", () => running.close());

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}

function open({ query, variables, headers }, chosen) {
  at("query").value = query;
  at("variables").value = variables ? pretty(variables) : "";
  at("headers").value = headers ?? "";
  at("steps").querySelector("[aria-current]")?.removeAttribute("aria-current");
  chosen.setAttribute("aria-current", "step");
}

async function run() {
  try {
    const query = at("query").value;
    const request = { query, variables: read("variables") };
    const headers = read("headers");
    if (isSubscription(query)) return follow(request, headers);
    at("answer").textContent = "Waiting for the answer ...";
    at("answer").textContent = pretty(remember(await post(request, headers)));
    offerTokens();
  } catch (error) {
    at("answer").textContent = error.message;
  }
}

function read(id) {
  try {
    return fill(JSON.parse(at(id).value || "{}"));
  } catch (error) {
    throw new Error(`The ${id} cannot be used: ${error.message}`);
  }
}

function isSubscription(query) {
  return /(^|\})\s*subscription\b/.test(query.replace(/#.*/g, ""));
}

function offerTokens() {
  const offers = signedIn().map((name) =>
    button(`Act as ${name}`, () => {
      at("headers").value = JSON.stringify({ Authorization: `Bearer {{${name}.accessToken}}` });
    }),
  );
  at("people").replaceChildren(...offers);
}

// Follows a subscription over graphql-transport-ws. A new one replaces the last.
function follow(request, headers) {
  running?.close();
  at("events").replaceChildren();
  at("feed").hidden = at("stop").disabled = false;
  at("answer").textContent = "Events of the subscription appear below.";

  const socket = new WebSocket(ENDPOINT, "graphql-transport-ws");
  const send = (message) => socket.send(JSON.stringify(message));
  running = socket;
  socket.onopen = () => send({ type: "connection_init", payload: headers });
  socket.onmessage = ({ data }) => {
    const { type, payload } = JSON.parse(data);
    if (type === "connection_ack") send({ type: "subscribe", id: "1", payload: request });
    if (type === "ping") send({ type: "pong" });
    if (type === "next" || type === "error") log(pretty(payload));
    if (type === "error" || type === "complete") socket.close(1000);
  };
  socket.onclose = ({ code, reason }) => {
    if (socket !== running) return;
    log(`The WebSocket closed: ${code} ${reason}`);
    at("stop").disabled = true;
  };
}

function log(text) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  const body = document.createElement("pre");
  time.textContent = new Date().toLocaleTimeString();
  body.textContent = text;
  item.append(time, body);
  at("events").prepend(item);
}
