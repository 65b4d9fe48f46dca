// The way in is there before the rest of the page. Who is faster than that waits for
// it, and is let in.

import { check } from '../person.mjs';

export default async function early({ person }) {
  const alice = await person('alice');
  await alice.register();
  await alice.menu('Menu', 'Log out');
  await alice.page.getByRole('dialog').getByRole('button', { name: 'Log out', exact: true }).click();
  await alice.page.getByLabel('Name or number').waitFor();

  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  await alice.context.route('**/app/account.js', async (route) => {
    await held;
    await route.continue();
  });
  await alice.reload();
  await alice.page.getByLabel('Name or number').fill('alice');
  await alice.page.getByLabel('Password', { exact: true }).fill('secret-secret');
  await alice.page.locator('form button[type=submit]').click();
  await alice.button('One moment…').waitFor();
  check(await alice.page.evaluate(() => !document.querySelector('.shell')), 'the chat isn\'t there yet');
  release();
  await alice.online();
}
