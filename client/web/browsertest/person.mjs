// Somebody at a browser: what they do on the page, and what they see there.
// Everything waits for the page to be so far, for two minutes at most; nothing
// waits for a time.

export const longest = 120_000; // ms

/** Waits until see returns something true, and returns that. */
export async function until(what, see) {
  const end = Date.now() + longest;
  for (let seen; ;) {
    seen = await see();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`two minutes have passed, and it isn't so that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Throws where something isn't so. */
export function check(is, what) {
  if (!is) throw new Error(`it isn't so that ${what}`);
}

export class Person {
  errors = []; // what no page should bring up: errors in its console, dialogs
  // That a connection was closed before it was used is between browser and server: see load.
  #forgiven = [/net::ERR_(SOCKET_NOT_CONNECTED|CONNECTION_RESET|CONNECTION_CLOSED|EMPTY_RESPONSE) http/];

  /** options are the browser's: colorScheme, locale, viewport, … */
  static async come(browser, url, name, options = {}) {
    const somebody = new Person();
    somebody.name = name;
    somebody.url = url;
    somebody.touch = Boolean(options.hasTouch);
    somebody.context = await browser.newContext({ viewport: { width: 1100, height: 720 }, locale: 'en-GB', ...options });
    somebody.context.setDefaultTimeout(longest);
    await somebody.open();
    return somebody;
  }

  /** Opens the page, in a tab of its own. */
  async open() {
    this.page = await this.context.newPage();
    this.#watch(this.page);
    await this.load(() => this.page.goto(this.url));
  }

  async reload() {
    await this.load(() => this.page.reload());
  }

  /** Loads the page and waits until all of it is there. A server closes connections that
   * a browser has opened ahead and is too busy to use: where that takes a file from the page,
   * the browser is asked again, as anybody would. */
  async load(go) {
    let lost = false;
    const failed = () => {
      lost = true;
    };
    this.page.on('requestfailed', failed);
    for (let tries = 1; ; tries++) {
      const errors = this.errors.length;
      lost = false;
      await go().catch((error) => {
        if (tries === 3) throw error;
        lost = true;
      });
      if (await until('the page is there', async () => (await this.#ready()) || (lost && tries < 3 && 'lost')) !== 'lost') break;
      this.errors.length = errors; // of a try that is over
    }
    this.page.off('requestfailed', failed);
  }

  /** The page has said so; not while it is on its way. */
  #ready() {
    return this.page.evaluate(() => performance.getEntriesByName('ready').length > 0).catch(() => false);
  }

  #watch(page) {
    const wrong = (words) => this.#forgiven.some((pattern) => pattern.test(words)) || this.errors.push(words);
    page.on('console', (message) => message.type() === 'error' && wrong(`console: ${message.text()} ${message.location().url}`));
    page.on('pageerror', (error) => wrong(`error: ${error.stack}`));
    page.on('crash', () => wrong('the page has crashed'));
    page.on('dialog', (dialog) => {
      wrong(`dialog: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
  }

  /** The network is away, or will be: what a browser itself says of that is no error of the page's. */
  forgiveNetwork() {
    this.#forgiven.push(/^console: WebSocket connection to /, /^error: Firefox can’t establish a connection to the server at ws/, /^error: The connection to ws\S* was interrupted/, /net::ERR_/, /^console: Failed to load resource: the server responded with a status of 503/);
  }

  complain() {
    if (this.errors.length) throw new Error(`${this.name}'s page: ${this.errors.join('\n')}`);
  }

  /** What there is to see, for who reads of a failure. */
  async describe() {
    try {
      const body = await this.page.evaluate(() => document.body.innerText);
      return `--- ${this.name} at ${this.page.url()} sees:\n${body.slice(-1500)}\n${this.errors.join('\n')}`;
    } catch (error) {
      return `--- ${this.name}: ${error.message}`;
    }
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true });
  }

  /** Registers by the form, and waits until the chat is there. */
  async register(password = 'secret-secret') {
    await this.button('Register').click();
    await this.page.getByLabel('Name', { exact: true }).fill(this.name);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.locator('form button[type=submit]').click();
    await this.online();
    return this;
  }

  async logIn(password = 'secret-secret') {
    await this.page.getByLabel('Name or number').fill(this.name);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.locator('form button[type=submit]').click();
    await this.online();
    return this;
  }

  /** Waits until the page says that it is connected. */
  async online() {
    await until(`${this.name} is online`, () => this.tone('good'));
  }

  async away() {
    await until(`${this.name} is told that there is no connection`, () => this.tone('bad'));
  }

  async tone(tone) {
    return (await this.page.locator(`[data-testid=connection][data-tone=${tone}]`).count()) > 0;
  }

  async menu(button, item) {
    await this.button(button).click();
    await this.page.getByRole('menuitem', { name: item, exact: true }).click();
  }

  /** Finds somebody, makes them a friend, and opens the conversation. */
  async befriend(name) {
    await this.menu('New', 'Find somebody');
    await this.page.getByLabel('Name or number').fill(name);
    await this.page.getByLabel('Name or number').press('Enter');
    await this.page.getByRole('dialog').getByRole('button', { name: 'Add friend', exact: true }).click();
    await this.page.getByRole('dialog').getByText('You are friends.').waitFor();
    await this.page.getByRole('dialog').getByRole('button', { name: 'Message', exact: true }).click();
    await this.composer(name).waitFor();
  }

  /** The row of a conversation in the list. */
  row(name) {
    return this.page.locator('nav a.row').filter({ has: this.page.locator('.row-name', { hasText: name }) });
  }

  /** Looks at the page: only what somebody looks at is read. */
  async look() {
    await this.page.bringToFront();
  }

  /** Looks, and opens a conversation that is in the list. */
  async enter(name) {
    await this.look();
    await this.row(name).click();
    await this.composer(name).waitFor();
  }

  composer(name) {
    return this.page.getByRole('textbox', { name: `Message ${name}`, exact: true });
  }

  /** Writes to the conversation that is open. */
  async write(text) {
    const area = this.page.locator('form.composer textarea');
    const [first, ...rest] = this.touch ? [text] : text.split('\n');
    await area.fill(first);
    for (const line of rest) {
      await area.press('Shift+Enter');
      await this.page.keyboard.insertText(line);
    }
    if (this.touch) await this.page.locator('button.send').tap(); // there Enter begins a line
    else await area.press('Enter');
  }

  /** Puts a long text where it would take long to type. */
  async paste(text) {
    await this.page.locator('form.composer textarea').evaluate((area, all) => {
      area.focus();
      area.select();
      document.execCommand('insertText', false, all);
    }, text);
  }

  /** The messages of the open conversation: { text, mine, mark, seq }. */
  async messages() {
    return this.page.locator('[data-testid=history] li.message').evaluateAll((items) => items.map((item) => ({
      text: item.querySelector('.text')?.textContent ?? '',
      mine: item.classList.contains('mine'),
      mark: item.dataset.mark ?? '',
      seq: Number(item.dataset.seq),
    })));
  }

  /** Waits until the conversation ends with these texts. */
  async reads(...texts) {
    let last;
    try {
      return await until('', async () => {
        last = (await this.messages()).slice(-texts.length);
        return last.length === texts.length && last.every((message, i) => message.text === texts[i]) && last;
      });
    } catch {
      throw new Error(`${this.name} reads ${JSON.stringify(last)}, and not ${JSON.stringify(texts)}`);
    }
  }

  /** Waits until the last own message has come so far: queued, sent, stored or read. */
  async marked(mark) {
    await until(`${this.name}'s last message is marked ${mark}`, async () => (await this.messages()).filter(({ mine }) => mine).at(-1)?.mark === mark);
  }
}
