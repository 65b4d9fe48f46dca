// Who hears the page, or sees little of it, can use it as well: axe finds no fault with
// any part of it, by WCAG 2.2 A and AA and by its own advice, in the light and in the dark. And in
// the dark it is dark.

import { check, until } from '../person.mjs';

/** In the page: how bright it is, of 255. */
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
  for (const colorScheme of kind === 'firefox' ? ['light'] : ['light', 'dark']) { // Firefox can't be put into the dark
    const alice = await person(`alice ${colorScheme}`, { colorScheme });
    const { page } = alice;
    const dialog = page.getByRole('dialog');
    await page.evaluate(axe);
    const look = async (where) => {
      const bright = await page.evaluate(brightness);
      check(colorScheme === 'dark' ? bright < 60 : bright > 220, `${where} is ${colorScheme}: ${bright}`);
      // What is on its way to another colour isn't looked at until it is there.
      let found;
      await until('', async () => !(found = (await page.evaluate(() => axe.run({ resultTypes: ['violations'], rules: { 'target-size': { enabled: true } } }))).violations).length).catch((error) => {
        if (!found?.length) throw error;
        throw new Error(`${where}, in the ${colorScheme}:\n${faults(found).join('\n')}`);
      });
      looked++;
    };

    await look('the way in');
    await alice.button('Log in').click();
    await look('the way in, with nothing typed');
    await alice.button('Register').click();
    await look('the way in, to register');
    await alice.button('Log in').click();
    await alice.register();
    await look('the empty list');

    await alice.button('New').click();
    await look('the menu of what is new');
    await page.getByRole('menuitem', { name: 'Find somebody', exact: true }).click();
    await look('finding somebody');
    await page.getByLabel('Name or number').fill('bob');
    await page.getByLabel('Name or number').press('Enter');
    await dialog.getByRole('button', { name: 'Add friend', exact: true }).waitFor();
    await look('somebody found');
    await dialog.getByRole('button', { name: 'Add friend', exact: true }).click();
    await dialog.getByText('You are friends.').waitFor();
    await dialog.getByRole('button', { name: 'Message', exact: true }).click();
    await alice.composer('bob').waitFor();
    await look('a conversation in which nothing was said');

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
    await look('a question');
    await page.keyboard.press('Escape');

    await alice.menu('New', 'New group');
    await dialog.waitFor();
    await look('making a group');
    await dialog.getByLabel('Name of the group').fill('walkers');
    await dialog.getByLabel('Name of the group').press('Enter');
    await alice.composer('walkers').waitFor();
    await alice.button('Details').click();
    await look('a group with its details');
    await alice.menu('Menu', 'Change password');
    await dialog.waitFor();
    await look('changing the password');
  }
  fact('looked at', looked, 'parts');
}
