// Drives GraphiQL as a person does. Its editors are Monaco's: they receive keys, and their models hold the text.

import { merged } from "./explorer.mjs";

export class Graphiql {
  static changingStepsStopsTheFeed = true;

  constructor(page) {
    this.page = page;
  }

  // The documentation pane shows a schema only if introspection is within the server's limits.
  async ready() {
    await this.page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await this.page.getByRole("link", { name: "Subscription", exact: true }).waitFor();
    await this.page.getByRole("button", { name: "Hide Documentation Explorer" }).click();
  }

  // Runs a step with some of its variables changed, and returns the response's text.
  async run(step, changes) {
    await this.#take(step);
    await this.#change(changes);
    const answered = this.page.waitForResponse((response) => response.request().method() === "POST");
    await this.page.getByRole("button", { name: "Execute query" }).click();
    await answered;
    return this.#response(`"data"`);
  }

  async follow(step) {
    await this.#take(step);
    await this.page.getByRole("button", { name: "Execute query" }).click();
  }

  event(text) {
    return this.#response(text);
  }

  async #take(step) {
    // Browsers throttle windows in the background.
    await this.page.bringToFront();
    await this.page.getByRole("tab", { name: step }).click();
    await this.#settled("query", step);
  }

  async #change(changes) {
    const prepared = await this.page.evaluate(() => {
      const models = globalThis.__MONACO.editor.getModels();
      return models.find((model) => model.uri.path.endsWith("-variables.json")).getValue();
    });
    const variables = JSON.stringify(merged(JSON.parse(prepared), changes));
    await this.page.getByRole("region", { name: "Variables" }).locator(".view-lines").first().click();
    await this.page.keyboard.press("Control+A");
    // Pasted, because Monaco completes typed brackets and quotes.
    await this.page.evaluate((text) => navigator.clipboard.writeText(text), variables);
    await this.page.keyboard.press("Control+V");
    await this.#settled("variables", variables);
  }

  // Waits until GraphiQL has stored an edit, which happens a moment later.
  #settled(name, text) {
    return this.page.waitForFunction(([name, text]) => sessionStorage.getItem(`graphiql:${name}`)?.includes(text), [
      name,
      text,
    ]);
  }

  async #response(text) {
    await this.page.bringToFront();
    const found = await this.page.waitForFunction((text) => {
      const models = globalThis.__MONACO.editor.getModels();
      const response = models.find((model) => model.uri.path.endsWith("-response.json")).getValue();
      return response.includes(text) && response;
    }, text);
    return found.jsonValue();
  }
}
