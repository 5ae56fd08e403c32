// The steps of the tutorial, and the memory that lets a step use the responses of earlier ones. Both pages share this
// file, so that they teach alike.

const as = (person) => JSON.stringify({ Authorization: `Bearer {{${person}.accessToken}}` });

const person = (username, password) => ({
  input: { username, email: `${username}@example.com`, password, deviceInfo: "Explorer" },
});

const register = (Name, password) => ({
  query: `# Run with Ctrl+Enter: creates the account
# "${Name.toLowerCase()}" and signs it in. CONFLICT means
# that the name is taken: change it, or use LogIn.
mutation Register${Name}($input: RegisterInput!) {
  ${Name.toLowerCase()}: register(input: $input) {
    accessToken
    accessTokenExpiresAt
    refreshToken
    viewer { user { id username } email }
  }
}
`,
  variables: person(Name.toLowerCase(), password),
});

export const walk = [
  register("Alice", "plum-anvil-cobalt-drizzle-42"),
  register("Bob", "otter-velvet-quarry-lantern-17"),
  {
    query: `# Signs in again: an access token expires after
# minutes. The page keeps the answer as "alice" until
# you close it, and {{alice.accessToken}} inserts the
# token. For bob, change "alice:" and the variables.
mutation LogIn($input: LoginInput!) {
  alice: login(input: $input) {
    accessToken
    accessTokenExpiresAt
    viewer { user { id username } }
  }
}
`,
    variables: { input: { login: "alice", password: "plum-anvil-cobalt-drizzle-42" } },
  },
  {
    query: `# Send the access token in the headers, below:
# {"Authorization": "Bearer ..."}. Paste one, or
# use {{alice.accessToken}} for the latest one.
query WhoAmI($friend: String!) {
  viewer { user { id username } email role }
  friend: user(by: { username: $friend }) { id username }
}
`,
    variables: { friend: "bob" },
    headers: as("alice"),
  },
  {
    query: `# Sends a message from alice to the friend that
# WhoAmI found. A real client encrypts it first: the
# server receives Base64 bytes and an iv of 12 bytes.
# Sending it again changes nothing. For a new message,
# choose a new clientMessageId.
mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) {
    message {
      id
      clientMessageId
      createdAt
      recipient { username }
    }
  }
}
`,
    variables: {
      input: {
        recipientId: "{{friend.id}}",
        encryptedContent: "SGVsbG8gQm9i",
        iv: "AAECAwQFBgcICQoL",
        clientMessageId: "hello-1",
      },
    },
    headers: as("alice"),
  },
  {
    query: `# Bob's feed: past events, then CAUGHT_UP, then each
# new event as it happens. Leave it running and
# send another message as alice: it arrives here.
# GraphiQL stops it when you change tabs: send in
# a second window, after LogIn and WhoAmI there.
# Resume with a cursor: messageFeed(after: "...").
subscription FollowFeed {
  messageFeed {
    cursor
    kind
    message {
      sender { username }
      encryptedContent
      iv
      createdAt
    }
  }
}
`,
    headers: as("bob"),
  },
  {
    query: `# The conversation as alice sees it, newest first.
query Conversation($with: ID!) {
  viewer {
    conversation(with: $with) {
      peer { username }
      unreadCount
      messages(first: 10) {
        nodes {
          sender { username }
          encryptedContent
          iv
          createdAt
          readAt
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
`,
    variables: { with: "{{friend.id}}" },
    headers: as("alice"),
  },
];

// Kept in the page's memory only, so that no token is written to disk.
const answers = Object.create(null);

export function remember(result) {
  for (const [name, answer] of Object.entries(result.data ?? {})) {
    if (answer) answers[name] = answer;
  }
  return result;
}

export const signedIn = () => Object.keys(answers).filter((name) => answers[name].accessToken);

// Replaces each {{path}} in the strings of a value by the text at that path in the earlier responses.
export function fill(value) {
  return JSON.parse(JSON.stringify(value ?? {}), (_key, part) =>
    typeof part === "string" ? part.replace(/\{\{([\w.]+)\}\}/g, (_text, path) => find(path)) : part,
  );
}

function find(path) {
  const found = path.split(".").reduce((answer, name) => answer?.[name], answers);
  if (typeof found !== "string") {
    throw new Error(`{{${path}}} has no value yet. Run the step that returns it, or enter a value.`);
  }
  return found;
}
