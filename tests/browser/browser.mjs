// Shared code of the Chromium suites: starts it, collects errors, counts claims, and prints `N passed, N failed`.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
let passed = 0;
let failed = 0;

// Runs a suite in a new browser and ends the process, with 0 if all of its claims hold.
export async function suite({ url, chromium: executablePath, ...look }, run) {
  const complaints = [];
  const profile = mkdtempSync(path.join(tmpdir(), "quantumvault-browser-"));
  const permissions = ["clipboard-read", "clipboard-write"];
  const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS, permissions, ...look });
  try {
    context.setDefaultTimeout(20_000);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`);
      });
    });
    context.on("request", (request) => staysHome(request.url()));
    context.on("page", watch);
    await run(context);
  } catch (error) {
    check("the suite reaches its end", false, error.message);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
  check("no error, no policy violation, no request elsewhere", complaints.length === 0, complaints.join("\n"));
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);

  function watch(page) {
    page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
    page.on("websocket", (socket) => staysHome(socket.url().replace(/^ws/, "http")));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(`console: ${message.text()}`);
    });
  }

  function staysHome(address) {
    const { protocol, origin } = new URL(address);
    if (protocol !== "data:" && origin !== new URL(url).origin) complaints.push(`request to ${address}`);
  }
}

export function check(claim, holds, found = "") {
  if (holds) passed += 1;
  else failed += 1;
  console.log(holds ? `ok   ${claim}` : `FAIL ${claim}\n     ${found}`);
}
