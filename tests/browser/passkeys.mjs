// Passkeys in Chromium, with its virtual authenticator and its JSON functions, against a running server.
//
// node passkeys.mjs --url http://localhost:8000/graphql [--chromium /usr/bin/chromium]
//   The host must be the relying party's: an IP address has no passkeys.

import { parseArgs } from "node:util";

import { check, suite } from "./browser.mjs";

const { values: options } = parseArgs({
  options: { url: { type: "string" }, chromium: { type: "string", default: "/usr/bin/chromium" } },
});
if (!options.url) {
  console.error("usage: node passkeys.mjs --url URL");
  process.exit(2);
}

const SIGN_IN = "accessToken viewer { user { username } passkeys { id deviceName lastUsedAt } }";

await suite(options, async (context) => {
  const page = await context.newPage();
  await page.goto(options.url);
  const authenticator = await addAuthenticator(context, page);
  const username = `key_${Date.now().toString(36)}`;
  const account = { username, email: `${username}@example.com`, password: "plum-anvil-cobalt-drizzle-42" };
  const { register } = await ask(`mutation ($input: RegisterInput!) { register(input: $input) { accessToken } }`, {
    input: account,
  });
  const token = register.accessToken;

  const passkey = await add(token, "Chromium");
  check("the passkey that Chromium made is added", passkey?.deviceName === "Chromium", JSON.stringify(passkey));
  const { credentials } = await authenticator.send("WebAuthn.getCredentials");
  check("it is one that finds its user", credentials.length === 1 && credentials[0].isResidentCredential);
  const again = await add(token, "again").catch((error) => error.message);
  check("Chromium makes no second one for the account", String(again).includes("InvalidStateError"), again);

  const grant = await logIn();
  check("it signs its user in without a name", grant?.viewer.user.username === username, JSON.stringify(grant));
  check("and is listed as used", Boolean(grant?.viewer.passkeys[0].lastUsedAt), JSON.stringify(grant));
  check("a second time too", (await logIn())?.viewer.user.username === username);

  await authenticator.send("WebAuthn.setUserVerified", { isUserVerified: false });
  const unverified = await logIn().catch((error) => error.message);
  check("an unverified user gets no assertion", String(unverified).includes("NotAllowedError"), unverified);
  await authenticator.send("WebAuthn.setUserVerified", { isUserVerified: true });

  const removed = await ask(
    `mutation ($input: RemovePasskeyInput!) { removePasskey(input: $input) { removedPasskeyId } }`,
    { input: { id: passkey.id } },
    token,
  );
  check("it is removed", removed.removePasskey.removedPasskeyId === passkey.id, JSON.stringify(removed));
  const refused = await logIn().catch((error) => error.message);
  check("and signs nobody in any more", String(refused).includes("INVALID_CREDENTIALS"), JSON.stringify(refused));

  async function add(token, deviceName) {
    const { beginPasskeyRegistration } = await ask(`mutation { beginPasskeyRegistration { id options } }`, {}, token);
    const credential = await page.evaluate(async (json) => {
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json);
      return (await navigator.credentials.create({ publicKey })).toJSON();
    }, beginPasskeyRegistration.options);
    const finished = await ask(
      `mutation ($input: FinishPasskeyRegistrationInput!) {
        finishPasskeyRegistration(input: $input) { passkey { id deviceName } }
      }`,
      { input: { ceremonyId: beginPasskeyRegistration.id, credential, deviceName } },
      token,
    );
    return finished.finishPasskeyRegistration.passkey;
  }

  async function logIn() {
    const { beginPasskeyLogin } = await ask(`mutation { beginPasskeyLogin { id options } }`);
    const credential = await page.evaluate(async (json) => {
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(json);
      return (await navigator.credentials.get({ publicKey })).toJSON();
    }, beginPasskeyLogin.options);
    const finished = await ask(
      `mutation ($input: FinishPasskeyLoginInput!) { finishPasskeyLogin(input: $input) { ${SIGN_IN} } }`,
      { input: { ceremonyId: beginPasskeyLogin.id, credential } },
    );
    return finished.finishPasskeyLogin;
  }

  // Sends an operation from within the page, as a frontend does.
  async function ask(query, variables = {}, token = undefined) {
    const { data, errors } = await page.evaluate(
      async ([query, variables, token]) => {
        const headers = { "content-type": "application/json" };
        if (token) headers.authorization = `Bearer ${token}`;
        const body = JSON.stringify({ query, variables });
        return (await fetch("/graphql", { method: "POST", headers, body })).json();
      },
      [query, variables, token],
    );
    if (errors) throw new Error(errors.map(({ extensions, message }) => `${extensions.code}: ${message}`).join("\n"));
    return data;
  }
});

// Adds a platform authenticator whose user is always present and verified.
async function addAuthenticator(context, page) {
  const devtools = await context.newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return { send: (method, parameters = {}) => devtools.send(method, { authenticatorId, ...parameters }) };
}
