// Sends GraphiQL's operations to the server: by POST, and subscriptions over a WebSocket.

import { getOperationAST } from "graphql";
import { createClient } from "graphql-ws";
import { ENDPOINT, post } from "../../explorer/transport.js";
import { fill, remember } from "../../explorer/walk.js";

const EVENTS_SHOWN = 50;

export async function fetcher(request, { headers, documentAST } = {}) {
  try {
    // The schema is public here, so an expired token in the headers must not hide it.
    if (request.operationName === "IntrospectionQuery") return await post(request, {});

    const filled = { ...request, variables: fill(request.variables) };
    const operation = documentAST && getOperationAST(documentAST, request.operationName);
    if (operation?.operation === "subscription") return follow(filled, fill(headers));
    return remember(await post(filled, fill(headers)));
  } catch (error) {
    throw shown(error.message);
  }
}

// Shows the latest events together, because GraphiQL would replace each event by the next.
function follow(request, headers) {
  return {
    subscribe(sink) {
      const events = [];
      // A retry would restart the feed and show every event twice.
      const client = createClient({ url: ENDPOINT, connectionParams: headers, retryAttempts: 0 });
      const unsubscribe = client.subscribe(request, {
        next(event) {
          events.unshift(event);
          events.length = Math.min(events.length, EVENTS_SHOWN);
          sink.next({ newestFirst: events });
        },
        error(cause) {
          sink.error(readable(cause));
        },
        complete() {
          sink.complete();
        },
      });
      return { unsubscribe };
    },
  };
}

function readable(cause) {
  if (Array.isArray(cause)) return cause;
  if (cause instanceof CloseEvent) return shown(`The server closed the socket: ${cause.code} ${cause.reason}`);
  return shown("The socket to the server failed.");
}

// Returns a plain object, because GraphiQL would show the stack of an Error.
function shown(message) {
  return { message };
}
