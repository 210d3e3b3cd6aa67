/** The page on its scripted model, as a state of scripts/screenshots/states.mjs drives it. */
export class Scene {
  constructor(page, theme) {
    this.page = page;
    this.theme = theme;
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: typeof name === 'string' });
  }

  async press(name) {
    await this.button(name).first().click();
  }

  /** Calls a method of the scripted model (test/browser/pages/fake.ts). */
  fake(method, ...args) {
    return this.page.evaluate(([name, values]) => globalThis.fake[name](...values), [method, args]);
  }

  /** Calls a method of its expert store. */
  store(method, ...args) {
    return this.page.evaluate(([name, values]) => globalThis.fake.store[name](...values), [method, args]);
  }

  async loading() {
    await this.press('Load the model');
    await this.page.getByText('Loading smolmoe').waitFor();
  }

  async failedLoad(kind) {
    await this.loading();
    await this.fake('failLoad', kind);
    await this.page.locator('.problem').waitFor();
  }

  async chat() {
    await this.loading();
    await this.fake('finishLoad');
    await this.page.locator('.chat').waitFor();
  }

  async send(text) {
    const box = this.page.getByRole('textbox', { name: 'Message' });
    await box.fill(text);
    await box.press('Enter');
  }

  async settled() {
    await this.page.locator('.log[aria-busy=false]').waitFor();
  }

  async turn(question, answer, summary = {}) {
    await this.send(question);
    await this.fake('say', answer);
    await this.fake('end', summary);
    await this.settled();
  }

  /** A tool of the last message that shows this text. */
  async tool(text, name) {
    const message = this.page.locator('.message', { hasText: text }).last();
    await message.hover();
    await message.getByRole('button', { name, exact: true }).click();
  }
}
