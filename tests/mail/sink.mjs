// A mail server for tests: takes every mail and prints it as one line of JSON.
//
// node sink.mjs [--port 0] [--refuse 550]
//
// The first line tells the port. With --refuse each mail is answered with that code and printed as { "refused": code }.
// It ends when its input does, so that no test leaves it behind.

import { parseArgs } from "node:util";

import PostalMime from "postal-mime";
import { SMTPServer } from "smtp-server";

const { values: options } = parseArgs({
  options: { port: { type: "string", default: "0" }, refuse: { type: "string" } },
});
const print = (line) => console.log(JSON.stringify(line));

const server = new SMTPServer({
  authOptional: true,
  disabledCommands: ["STARTTLS"],
  disableReverseLookup: true,
  async onData(stream, { envelope }, done) {
    const mail = await PostalMime.parse(Buffer.concat(await stream.toArray()));
    if (options.refuse) {
      print({ refused: Number(options.refuse) });
      return done(Object.assign(new Error("not here"), { responseCode: Number(options.refuse) }));
    }
    const { from, messageId, subject, text, html } = mail;
    print({ from: from.address, to: envelope.rcptTo.map(({ address }) => address), messageId, subject, text, html });
    done();
  },
});
server.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
const listening = server.listen(Number(options.port), "127.0.0.1", () => print({ port: listening.address().port }));
process.stdin.resume().on("end", () => process.exit(0));
