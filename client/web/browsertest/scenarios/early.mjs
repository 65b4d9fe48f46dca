// The sign-in view is shown before the rest of the page is loaded. Users who submit it
// before that are logged in once the rest is there. If the rest can't be loaded, or the
// chat server isn't ready, the page says so and retries by itself.

import { check } from '../person.mjs';

export default async function early({ person }) {
  const alice = await person('alice');
  const { page } = alice;
  await alice.register();
  await alice.menu('Menu', 'Log out');
  await page.getByRole('dialog').getByRole('button', { name: 'Log out', exact: true }).click();
  await page.getByLabel('Username or ID').waitFor();

  let release;
  const held = new Promise((resolve) => {
    release = resolve;
  });
  await page.route('**/app/account.js', async (route) => {
    await held;
    await route.continue();
  });
  await page.reload({ waitUntil: 'commit' });
  await page.getByLabel('Username or ID').fill('alice');
  await page.getByLabel('Password', { exact: true }).fill('secret-secret');
  await page.locator('form button[type=submit]').click();
  await alice.button('One moment…').waitFor();
  check(await page.evaluate(() => !document.querySelector('.shell')), 'the chat isn\'t shown while its modules are missing');
  release();
  await alice.online();

  alice.allowNetworkErrors();
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
