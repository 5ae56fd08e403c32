// Sends operations to the server, for the explorer and for GraphiQL.

export const ENDPOINT = "/graphql";

// Returns the response to a query or a mutation.
export async function post(request, headers) {
  const response = await fetch(ENDPOINT, {
    method: "POST",
    headers: {
      Accept: "application/graphql-response+json, application/json;q=0.9",
      "Content-Type": "application/json",
      ...headers,
    },
    body: JSON.stringify(request),
  });
  return response.json().catch(() => {
    throw new Error(`The server responded with status ${response.status} and without JSON.`);
  });
}
