// A reload keeps the login, the open conversation, its messages, and unsent input.

import { check, until } from '../person.mjs';

export default async function reload({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('before');
  await alice.marked('sent');
  await alice.composer('bob').fill('half a sent');
  await alice.reload();
  await alice.online();
  await alice.reads('before');
  await until('the draft is back', async () => (await alice.composer('bob').inputValue()) === 'half a sent');

  // Another tab of the same browser takes over, because all tabs are one device.
  const first = alice.page;
  await alice.open();
  await alice.online();
  await first.getByTestId('resting').waitFor();
  await first.close(); // in this browser every tab counts as visible, so it would take over again
  await alice.enter('bob');
  await alice.write('from the second tab');
  await alice.reads('before', 'from the second tab');

  await bob.enter('alice');
  await bob.reads('before', 'from the second tab');

  // Logging out removes the user's data from this browser.
  await alice.menu('Menu', 'Log out');
  await alice.page.getByRole('dialog').getByRole('button', { name: 'Log out', exact: true }).click();
  await alice.page.getByLabel('Username or ID').waitFor();
  const kept = await alice.page.evaluate(() => JSON.stringify(localStorage));
  check(!/half a sent|token/.test(kept), 'no draft or token in localStorage after logout', kept);
  await alice.logIn();
  await alice.enter('bob');
  await alice.reads('before', 'from the second tab');
}
