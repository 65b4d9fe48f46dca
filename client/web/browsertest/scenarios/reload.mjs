// What was there before a reload is there after it: the login, the open
// conversation, what was said, and what was typed and not sent.

import { check, until } from '../person.mjs';

export default async function reload({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('before');
  await alice.marked('stored');
  await alice.composer('bob').fill('half a sent');
  await alice.reload();
  await alice.online();
  await alice.reads('before');
  await until('the draft is there', async () => (await alice.composer('bob').inputValue()) === 'half a sent');

  // Another tab of the same browser takes over: it is one device.
  const first = alice.page;
  await alice.open();
  await alice.online();
  await first.getByTestId('resting').waitFor();
  await first.close(); // it would take over again: here every tab is looked at
  await alice.enter('bob');
  await alice.write('from the second tab');
  await alice.reads('before', 'from the second tab');

  await bob.enter('alice');
  await bob.reads('before', 'from the second tab');

  // Logging out takes all of it from this browser.
  await alice.menu('Menu', 'Log out');
  await alice.page.getByRole('dialog').getByRole('button', { name: 'Log out', exact: true }).click();
  await alice.page.getByLabel('Name or number').waitFor();
  const kept = await alice.page.evaluate(() => JSON.stringify(localStorage));
  check(!/half a sent|token/.test(kept), `nothing of it is kept: ${kept}`);
  await alice.logIn();
  await alice.enter('bob');
  await alice.reads('before', 'from the second tab');
}
