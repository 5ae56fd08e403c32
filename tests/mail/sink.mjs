// A mail server for tests: accepts every mail and prints it as one line of JSON.
//
// node sink.mjs [--port 0] [--refuse 550] [--tls starttls|implicit --certificate FILE --key FILE] [--login USER:PASSWORD]
//
// The first line contains the port. With --refuse, each mail is rejected with that code and printed as { "refused":
// code }. With --tls the server requires TLS, and with --login this user; each printed mail reports both. It ends with
// its input, so that no test leaves it running.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import PostalMime from "postal-mime";
import { SMTPServer } from "smtp-server";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    refuse: { type: "string" },
    tls: { type: "string" },
    certificate: { type: "string" },
    key: { type: "string" },
    login: { type: "string" },
  },
});
const print = (line) => console.log(JSON.stringify(line));

const server = new SMTPServer({
  authOptional: !options.login,
  secure: options.tls === "implicit",
  disabledCommands: options.tls === "starttls" ? [] : ["STARTTLS"],
  cert: options.certificate && readFileSync(options.certificate),
  key: options.key && readFileSync(options.key),
  disableReverseLookup: true,
  onAuth({ username, password }, session, done) {
    done(null, `${username}:${password}` === options.login ? { user: username } : { message: "no" });
  },
  async onData(stream, { envelope, secure, user }, done) {
    const mail = await PostalMime.parse(Buffer.concat(await stream.toArray()));
    if (options.refuse) {
      print({ refused: Number(options.refuse) });
      return done(Object.assign(new Error("not here"), { responseCode: Number(options.refuse) }));
    }
    const { from, messageId, subject, text, html } = mail;
    const to = envelope.rcptTo.map(({ address }) => address);
    print({ from: from.address, to, messageId, subject, text, html, secure, user });
    done();
  },
});
server.on("error", (error) => {
  console.error(error);
  // A client's broken handshake is not an error of the server.
  if (!server.server.listening) process.exit(1);
});
const listening = server.listen(Number(options.port), "127.0.0.1", () => print({ port: listening.address().port }));
process.stdin.resume().on("end", () => process.exit(0));
