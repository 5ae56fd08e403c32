// Drives the small explorer as a person does.

export class Explorer {
  static changingStepsStopsTheFeed = false;

  constructor(page) {
    this.page = page;
  }

  async ready() {
    await this.page.getByRole("button", { name: "RegisterAlice" }).waitFor();
  }

  // Runs a step with some of its variables changed, and returns the response's text.
  async run(step, changes) {
    await this.#take(step, changes);
    const answered = this.page.waitForResponse((response) => response.request().method() === "POST");
    await this.page.getByRole("button", { name: "Run" }).click();
    const { data } = await (await answered).json();
    const [root] = Object.keys(data);
    const answer = this.page.locator("#answer", { hasText: `"${root}"` });
    return answer.innerText();
  }

  async follow(step) {
    await this.#take(step, {});
    await this.page.getByLabel("Query").press("Control+Enter");
  }

  async event(text) {
    return this.page.locator("#events li", { hasText: text }).first().innerText();
  }

  async #take(step, changes) {
    await this.page.getByRole("button", { name: step, exact: true }).click();
    const variables = this.page.getByLabel("Variables");
    const prepared = JSON.parse((await variables.inputValue()) || "{}");
    await variables.fill(JSON.stringify(merged(prepared, changes)));
  }
}

export function merged(prepared, changes) {
  const result = { ...prepared, ...changes };
  if (changes.input) result.input = { ...prepared.input, ...changes.input };
  return result;
}
