// Who asks for it, and is let by the browser, is told of messages by the desktop while they
// look elsewhere; a click on what it tells leads to the conversation.

import { check, until } from '../person.mjs';

/** In the page, before anything else runs: keeps the real notifications, and what becomes of them. */
function keep() {
  window.notes_ = [];
  window.Notification = class extends Notification {
    constructor(...given) {
      super(...given);
      const note = { of: this, title: this.title, body: this.body, shown: false, closed: false };
      this.addEventListener('show', () => (note.shown = true));
      this.addEventListener('close', () => (note.closed = true));
      window.notes_.push(note);
    }
  };
}

export default async function notify({ person, url }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await bob.befriend('alice');
  await alice.context.addInitScript(keep);
  const notes = () => alice.page.evaluate(() => window.notes_.map(({ title, body, shown, closed }) => ({ title, body, shown, closed })));
  const told = (words) => alice.page.locator('.toast', { hasText: words }).waitFor();

  // The browser doesn't let it: that is said, and nothing is turned on.
  await alice.reload();
  await alice.online();
  await alice.menu('Menu', 'Turn on notifications');
  await told('doesn’t allow');

  await alice.context.grantPermissions(['notifications'], { origin: new URL(url).origin });
  await alice.menu('Menu', 'Turn on notifications');
  await told('You’ll be told');
  await bob.write('psst');
  await until('it is on the desktop', async () => (await notes()).some(({ title, body, shown }) => title === 'bob' && body === 'psst' && shown));

  await alice.page.evaluate(() => window.notes_.at(-1).of.dispatchEvent(new Event('click')));
  await alice.reads('psst');
  await until('what was clicked is gone', async () => (await notes()).every(({ closed }) => closed));
  await bob.write('you are looking');
  await alice.reads('psst', 'you are looking');
  check((await notes()).length === 1, 'who looks at it isn\'t told');

  // It stays on, and ends when it is turned off.
  await alice.page.keyboard.press('Escape');
  await alice.reload();
  await alice.online();
  await bob.write('and again');
  await until('it is on the desktop after a reload', async () => (await notes()).some(({ body, shown }) => body === 'and again' && shown));
  await alice.menu('Menu', 'Turn off notifications');
  await bob.write('quietly now');
  await alice.row('bob').getByText('quietly now').waitFor();
  check((await notes()).length === 1, 'it was turned off');
}
