// If the user has turned on notifications and the browser allows it, new messages are
// shown on the desktop while the page isn't in front. A click opens the conversation.

import { equal, until } from '../person.mjs';

/** Runs in the page before its scripts. Records all notifications and their events. */
function record() {
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
  await alice.context.addInitScript(record);
  const notes = () => alice.page.evaluate(() => window.notes_.map(({ title, body, shown, closed }) => ({ title, body, shown, closed })));
  const toast = (words) => alice.page.locator('.toast', { hasText: words }).waitFor();

  // The browser doesn't allow notifications: the page says so, and doesn't turn them on.
  await alice.reload();
  await alice.online();
  await alice.menu('Menu', 'Turn on notifications');
  await toast('Your browser doesn’t allow notifications');

  await alice.context.grantPermissions(['notifications'], { origin: new URL(url).origin });
  await alice.menu('Menu', 'Turn on notifications');
  await toast('Notifications are on');
  await bob.write('psst');
  await until('the desktop shows the message psst', async () => (await notes()).some(({ title, body, shown }) => title === 'bob' && body === 'psst' && shown));

  await alice.page.evaluate(() => window.notes_.at(-1).of.dispatchEvent(new Event('click')));
  await alice.reads('psst');
  await until('the clicked notification is closed', async () => (await notes()).every(({ closed }) => closed));
  await bob.write('you are looking');
  await alice.reads('psst', 'you are looking');
  equal((await notes()).length, 1, 'notifications after a message arrived in the open conversation');

  // Notifications stay on after a reload, and end when the user turns them off.
  await alice.page.keyboard.press('Escape');
  await alice.reload();
  await alice.online();
  await bob.write('and again');
  await until('the desktop shows a message after a reload', async () => (await notes()).some(({ body, shown }) => body === 'and again' && shown));
  await alice.menu('Menu', 'Turn off notifications');
  await bob.write('quietly now');
  await alice.row('bob').getByText('quietly now').waitFor();
  equal((await notes()).length, 1, 'notifications since the reload: none may come after they were turned off');
}
