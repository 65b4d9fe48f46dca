// The page is accessible: axe finds no violation in any view, neither of WCAG 2.2 A and
// AA nor of its best practices, in the light and the dark color scheme. And the dark
// scheme is dark.

import { check, until } from '../person.mjs';

/** Runs in the page. Returns the brightness of its background, 0 to 255. */
const brightness = () => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
  return (r + g + b) / 3;
};

const faults = (violations) => violations.map(({ id, help, nodes }) =>
  `${id}: ${help}\n${nodes.map(({ html, any }) => `  ${html} ${any.map(({ message }) => message).join('; ')}`).join('\n')}`);

export default async function accessible({ kind, person, axe, fact }) {
  const bob = await person('bob');
  await bob.register();
  let looked = 0;
  for (const colorScheme of kind === 'firefox' ? ['light'] : ['light', 'dark']) { // the driver can't set Firefox to dark
    const alice = await person(`alice ${colorScheme}`, { colorScheme });
    const { page } = alice;
    const dialog = page.getByRole('dialog');
    await page.evaluate(axe);
    const look = async (where) => {
      const bright = await page.evaluate(brightness);
      check(colorScheme === 'dark' ? bright < 60 : bright > 220, `the background of ${where} is ${colorScheme}`, bright);
      // Retry, because colors may be in transition.
      let found;
      await until(`no violations in ${where}`, async () => !(found = (await page.evaluate(() => axe.run({ resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }))).violations).length).catch((error) => {
        if (!found?.length) throw error;
        throw new Error(`${where}, ${colorScheme}: ${found.length} violations, want none:\n${faults(found).join('\n')}`);
      });
      looked++;
    };

    await look('the sign-in view');
    await alice.button('Log in').click();
    await look('the sign-in view with an error');
    await alice.button('Register').click();
    await look('the sign-in view in register mode');
    await alice.button('Log in').click();
    await alice.register();
    await look('the empty list');

    await alice.button('New chat').click();
    await look('the New chat menu');
    await page.getByRole('menuitem', { name: 'Find people', exact: true }).click();
    await look('the Find people dialog');
    await page.getByLabel('Username or ID').fill('bob');
    await page.getByLabel('Username or ID').press('Enter');
    await dialog.getByRole('button', { name: 'Add friend', exact: true }).waitFor();
    await look('the Find people dialog with a result');
    await dialog.getByRole('button', { name: 'Add friend', exact: true }).click();
    await dialog.getByText('Friend added').waitFor();
    await dialog.getByRole('button', { name: 'Message', exact: true }).click();
    await alice.composer('bob').waitFor();
    await look('an empty conversation');

    await alice.write('look at https://example.com/');
    await bob.enter(alice.name);
    await bob.write('it shines');
    await alice.reads('look at https://example.com/', 'it shines');
    await alice.marked('read');
    await look('a conversation');
    await alice.button('Details').click();
    await look('the details');
    await page.getByRole('button', { name: 'Remove friend', exact: true }).click();
    await dialog.waitFor();
    await look('a confirmation');
    await page.keyboard.press('Escape');

    await alice.menu('New chat', 'New group');
    await dialog.waitFor();
    await look('the New group dialog');
    await dialog.getByLabel('Group name').fill('walkers');
    await dialog.getByLabel('Group name').press('Enter');
    await alice.composer('walkers').waitFor();
    await alice.button('Details').click();
    await look('a group with details');
    await alice.menu('Menu', 'Change password');
    await dialog.waitFor();
    await look('the Change password dialog');
  }
  fact('checked', looked, 'views');
}
