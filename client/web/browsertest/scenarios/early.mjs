// The way in is there before the rest of the page. Who is faster than that waits for
// it, and is let in. Where the rest can't be had, or the server has no chat yet, that is said,
// and goes by itself.

import { check } from '../person.mjs';

export default async function early({ person }) {
  const alice = await person('alice');
  const { page } = alice;
  await alice.register();
  await alice.menu('Menu', 'Log out');
  await page.getByRole('dialog').getByRole('button', { name: 'Log out', exact: true }).click();
  await page.getByLabel('Name or number').waitFor();

  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  await page.route('**/app/account.js', async (route) => {
    await held;
    await route.continue();
  });
  await page.reload({ waitUntil: 'commit' });
  await page.getByLabel('Name or number').fill('alice');
  await page.getByLabel('Password', { exact: true }).fill('secret-secret');
  await page.locator('form button[type=submit]').click();
  await alice.button('One moment…').waitFor();
  check(await page.evaluate(() => !document.querySelector('.shell')), 'the chat isn\'t there yet');
  release();
  await alice.online();

  alice.forgiveNetwork();
  const lost = (route) => route.abort('connectionreset');
  const none = (route) => route.fulfill({ status: 503, body: 'not listening yet' });
  for (const [file, fails] of [['**/app/room.js', lost], ['**/config.json', none], ['**/config.json', lost]]) {
    await page.route(file, fails);
    await page.reload({ waitUntil: 'commit' });
    await page.locator('body[data-waiting]').waitFor({ state: 'attached' });
    await page.unroute(file, fails);
    await alice.online();
  }
}
