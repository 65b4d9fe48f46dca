// Where an invitation is needed, the form asks for the code. A wrong one, and one that is
// used up, are refused, and the user can correct them.

import { check, until } from '../person.mjs';

export default async function invited({ person, data: code }) {
  const register = async (name, with_) => {
    const someone = await person(name);
    await someone.button('Register').click();
    await someone.page.getByLabel('Username', { exact: true }).fill(name);
    await someone.page.getByLabel('Password', { exact: true }).fill('secret-secret');
    await submit(someone, with_);
    return someone;
  };
  const submit = async (someone, with_) => {
    await someone.page.getByLabel('Invitation code').fill(with_);
    await someone.page.locator('form button[type=submit]').click();
  };
  const refused = (someone) => until(`${someone.name} is asked for a valid code`, () => someone.page.getByText('Enter a valid invitation code.').isVisible());

  const alice = await register('alice', '');
  await refused(alice);
  await submit(alice, 'WRONG');
  await refused(alice);
  check(await alice.page.evaluate(() => document.activeElement.id) === 'code', 'the code has the focus after it was refused');
  await submit(alice, ` ${code} `);
  await alice.online();

  const bob = await register('bob', code);
  await refused(bob);
}
