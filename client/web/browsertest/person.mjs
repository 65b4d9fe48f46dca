// A user with a browser: what they do on the page, and what they see. All methods
// wait until the page is ready for them, for at most two minutes. None waits for a
// fixed time.

export const longest = 120_000; // ms, timeout of a wait

/** Waits until see() returns a true value, and returns that value. what names the
 * condition in the error. */
export async function until(what, see) {
  const end = Date.now() + longest;
  for (let seen; ;) {
    seen = await see();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`timeout after ${longest / 1000} s; want: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Throws an error if ok isn't true. what says what was expected. got is the actual
 * value; leave it out if it says no more than ok. */
export function check(ok, what, got) {
  if (!ok) throw new Error(`want: ${what}${got === undefined ? '' : `; got ${JSON.stringify(got)}`}`);
}

/** Throws an error if got isn't want. what says what was checked. */
export function equal(got, want, what) {
  if (got !== want) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

export class Person {
  errors = []; // errors in the console, uncaught exceptions, and dialogs of the browser
  // Errors to ignore. The server may close a connection before the browser has used it: see load.
  #ignored = [/net::ERR_(SOCKET_NOT_CONNECTED|CONNECTION_RESET|CONNECTION_CLOSED|EMPTY_RESPONSE) http/];

  /** Opens the page in a new browser context. options are Playwright's: colorScheme, locale, viewport, … */
  static async create(browser, url, name, options = {}) {
    const person = new Person();
    person.name = name;
    person.url = url;
    person.touch = Boolean(options.hasTouch);
    person.context = await browser.newContext({ viewport: { width: 1100, height: 720 }, locale: 'en-GB', ...options });
    person.context.setDefaultTimeout(longest);
    await person.open();
    return person;
  }

  /** Opens the page in a new tab. */
  async open() {
    this.page = await this.context.newPage();
    this.#watch(this.page);
    await this.load(() => this.page.goto(this.url));
  }

  async reload() {
    await this.load(() => this.page.reload());
  }

  /** Calls go, which loads the page, and waits until it is complete. On a busy machine the
   * server may close connections that the browser has opened in advance, before it uses
   * them. If a file is missing because of that, load tries again, up to three times. */
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
      if (await until('the page is loaded', async () => (await this.#ready()) || (lost && tries < 3 && 'lost')) !== 'lost') break;
      this.errors.length = errors; // drop the errors of this attempt
    }
    this.page.off('requestfailed', failed);
  }

  /** Whether the page has reported that it is complete. False during navigation. */
  #ready() {
    return this.page.evaluate(() => performance.getEntriesByName('ready').length > 0).catch(() => false);
  }

  #watch(page) {
    const wrong = (words) => this.#ignored.some((pattern) => pattern.test(words)) || this.errors.push(words);
    page.on('console', (message) => message.type() === 'error' && wrong(`console: ${message.text()} ${message.location().url}`));
    page.on('pageerror', (error) => wrong(`error: ${error.stack}`));
    page.on('crash', () => wrong('the page crashed'));
    page.on('dialog', (dialog) => {
      wrong(`dialog: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
  }

  /** From now on, ignores the browser's own messages about network errors. */
  allowNetworkErrors() {
    this.#ignored.push(/^console: WebSocket connection to /, /^error: Firefox can’t establish a connection to the server at ws/, /^error: The connection to ws\S* was interrupted/, /net::ERR_/, /^console: Failed to load resource: the server responded with a status of 503/);
  }

  /** Throws an error if the page has had errors. */
  checkErrors() {
    if (this.errors.length) throw new Error(`${this.name}'s page has ${this.errors.length} errors, want none:\n${this.errors.join('\n')}`);
  }

  /** Returns the text of the page, to print after a failure. */
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

  /** Registers with the form, and waits until the page is connected. */
  async register(password = 'secret-secret') {
    await this.button('Register').click();
    await this.page.getByLabel('Username', { exact: true }).fill(this.name);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.locator('form button[type=submit]').click();
    await this.online();
    return this;
  }

  async logIn(password = 'secret-secret') {
    await this.page.getByLabel('Username or ID').fill(this.name);
    await this.page.getByLabel('Password', { exact: true }).fill(password);
    await this.page.locator('form button[type=submit]').click();
    await this.online();
    return this;
  }

  /** Waits until the page shows that it is connected. */
  async online() {
    await until(`${this.name} is online`, () => this.tone('good'));
  }

  /** Waits until the page shows that it isn't connected. */
  async offline() {
    await until(`${this.name} is offline`, () => this.tone('bad'));
  }

  async tone(tone) {
    return (await this.page.locator(`[data-testid=connection][data-tone=${tone}]`).count()) > 0;
  }

  async menu(button, item) {
    await this.button(button).click();
    await this.page.getByRole('menuitem', { name: item, exact: true }).click();
  }

  /** Finds a user, adds them as a friend, and opens the conversation. */
  async befriend(name) {
    await this.menu('New chat', 'Find people');
    await this.page.getByLabel('Username or ID').fill(name);
    await this.page.getByLabel('Username or ID').press('Enter');
    await this.page.getByRole('dialog').getByRole('button', { name: 'Add friend', exact: true }).click();
    await this.page.getByRole('dialog').getByText('Friend added').waitFor();
    await this.page.getByRole('dialog').getByRole('button', { name: 'Message', exact: true }).click();
    await this.composer(name).waitFor();
  }

  /** The row of a conversation in the list. */
  row(name) {
    return this.page.locator('nav a.row').filter({ has: this.page.locator('.row-name', { hasText: name }) });
  }

  /** Brings the page to the front. Messages are marked as read only there. */
  async look() {
    await this.page.bringToFront();
  }

  /** Brings the page to the front, and opens a conversation of the list. */
  async enter(name) {
    await this.look();
    await this.row(name).click();
    await this.composer(name).waitFor();
  }

  composer(name) {
    return this.page.getByRole('textbox', { name: `Message ${name}`, exact: true });
  }

  /** Sends a message to the open conversation. */
  async write(text) {
    const area = this.page.locator('form.composer textarea');
    const [first, ...rest] = this.touch ? [text] : text.split('\n');
    await area.fill(first);
    for (const line of rest) {
      await area.press('Shift+Enter');
      await this.page.keyboard.insertText(line);
    }
    if (this.touch) await this.page.locator('button.send').tap(); // on touch screens, Enter starts a new line
    else await area.press('Enter');
  }

  /** Inserts a text into the input field at once. Faster than fill for long texts. */
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
      return await until(`${this.name} reads the messages`, async () => {
        last = (await this.messages()).slice(-texts.length);
        return last.length === texts.length && last.every((message, i) => message.text === texts[i]) && last;
      });
    } catch {
      throw new Error(`${this.name}'s last messages: got ${JSON.stringify(last)}, want ${JSON.stringify(texts)}`);
    }
  }

  /** Waits until the last own message has a mark: queued, sending, sent or read. */
  async marked(mark) {
    await until(`${this.name}'s last own message has the mark ${mark}`, async () => (await this.messages()).filter(({ mine }) => mine).at(-1)?.mark === mark);
  }
}
