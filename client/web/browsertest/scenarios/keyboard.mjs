// Without a mouse: register, find somebody, write, read, look for a conversation and
// come back from it, by keys alone, and it can always be seen where one is.

import { check, until } from '../person.mjs';

export default async function keyboard({ person }) {
  const bob = await person('bob');
  await bob.register();
  const alice = await person('alice');
  const { keyboard: keys } = alice.page;

  /** Presses Tab until what has the focus is called so. */
  const tabTo = async (name) => {
    const seen = [];
    for (let i = 0; i < 40; i++) {
      const at = await alice.page.evaluate(() => {
        const e = document.activeElement;
        const label = e.getAttribute('aria-label') ?? e.labels?.[0]?.textContent ?? e.textContent;
        const style = getComputedStyle(e);
        const ring = e === document.body || style.outlineStyle !== 'none' || style.boxShadow !== 'none' || e.matches('textarea, input');
        return { label: label.trim(), ring };
      });
      check(at.ring, `it can be seen that ${at.label} has the focus`);
      if (at.label === name) return;
      seen.push(at.label.slice(0, 30));
      await keys.press('Tab');
    }
    throw new Error(`Tab doesn't lead to ${name}, only to ${seen.join(' | ')}`);
  };

  await tabTo('Register');
  await keys.press('Enter');
  await tabTo('Name');
  await keys.type('alice');
  await keys.press('Tab');
  await keys.type('secret-secret');
  await keys.press('Enter');
  await alice.online();

  await tabTo('New');
  await keys.press('Enter');
  await keys.press('ArrowDown');
  await keys.press('ArrowUp');
  await keys.press('Enter');
  await alice.page.getByRole('dialog').waitFor();
  await keys.type('bob');
  await keys.press('Enter');
  await alice.page.getByRole('dialog').getByRole('button', { name: 'Add friend', exact: true }).waitFor();
  await tabTo('Add friend');
  await keys.press('Enter');
  await alice.page.getByText('You are friends.').waitFor();
  await tabTo('Message');
  await keys.press('Enter');
  await until('one can write at once', () => alice.page.evaluate(() => document.activeElement.tagName === 'TEXTAREA'));
  await keys.type('by keys');
  await keys.press('Shift+Enter');
  await keys.type('alone');
  await keys.press('Enter');
  await bob.enter('alice');
  await bob.reads('by keys\nalone');

  await keys.press('Escape');
  await alice.page.getByText('Pick a conversation').waitFor();
  await bob.write('and?');
  await alice.row('bob').locator('.badge').waitFor();
  await alice.look();
  await keys.press('Control+k');
  await keys.type('bo');
  await keys.press('Enter');
  await alice.reads('by keys\nalone', 'and?');
  await bob.marked('read');

  // A group that was made can be written to at once, and so can one that was joined.
  const writes = async (somebody, group) => {
    await somebody.composer(group).waitFor();
    await until('one can write at once', () => somebody.page.evaluate(() => !document.querySelector('dialog') && document.activeElement.tagName === 'TEXTAREA'));
    await somebody.page.keyboard.type(`${somebody.name} is here`);
    await somebody.page.keyboard.press('Enter');
  };
  const choose = async ({ page: { keyboard } }, item) => {
    for (let i = 0; i < item; i++) await keyboard.press('ArrowDown');
    await keyboard.press('Enter');
  };
  await alice.button('New').focus();
  await keys.press('Enter');
  await choose(alice, 1);
  await alice.page.getByRole('dialog').waitFor();
  await keys.type('tea');
  await keys.press('Enter');
  await writes(alice, 'tea');
  const number = /#g(\d+)/.exec(alice.page.url())[1];
  await bob.look();
  await bob.button('New').focus();
  await bob.page.keyboard.press('Enter');
  await choose(bob, 2);
  await bob.page.getByRole('dialog').waitFor();
  await bob.page.keyboard.type(number);
  await bob.page.keyboard.press('Enter');
  await writes(bob, 'tea');
  await alice.reads('alice is here', 'bob is here');
}
