// Everything works with the keyboard alone: register, find a user, write, read, and
// search for a conversation. The focus is always visible.

import { check, until } from '../person.mjs';

export default async function keyboard({ person }) {
  const bob = await person('bob');
  await bob.register();
  const alice = await person('alice');
  const { keyboard: keys } = alice.page;

  /** Presses Tab until the element with this label has the focus. */
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
      check(at.ring, `the focus of ${at.label} is visible`);
      if (at.label === name) return;
      seen.push(at.label.slice(0, 30));
      await keys.press('Tab');
    }
    throw new Error(`Tab doesn't reach ${name}, only ${seen.join(' | ')}`);
  };

  await tabTo('Register');
  await keys.press('Enter');
  await tabTo('Username');
  await keys.type('alice');
  await keys.press('Tab');
  await keys.type('secret-secret');
  await keys.press('Enter');
  await alice.online();

  await tabTo('New chat');
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
  await alice.page.getByText('Friend added').waitFor();
  await tabTo('Message');
  await keys.press('Enter');
  await until('alice\'s input field has the focus', () => alice.page.evaluate(() => document.activeElement.tagName === 'TEXTAREA'));
  await keys.type('by keys');
  await keys.press('Shift+Enter');
  await keys.type('alone');
  await keys.press('Enter');
  await bob.enter('alice');
  await bob.reads('by keys\nalone');

  await keys.press('Escape');
  await alice.page.getByText('Select a chat').waitFor();
  await bob.write('and?');
  await alice.row('bob').locator('.badge').waitFor();
  await alice.look();
  await keys.press('Control+k');
  await keys.type('bo');
  await keys.press('Enter');
  await alice.reads('by keys\nalone', 'and?');
  await bob.marked('read');

  // After a group is created or joined, its input field has the focus.
  const writes = async (user, group) => {
    await user.composer(group).waitFor();
    await until(`${user.name}'s input field has the focus`, () => user.page.evaluate(() => !document.querySelector('dialog') && document.activeElement.tagName === 'TEXTAREA'));
    await user.page.keyboard.type(`${user.name} is here`);
    await user.page.keyboard.press('Enter');
  };
  const choose = async ({ page: { keyboard } }, item) => {
    for (let i = 0; i < item; i++) await keyboard.press('ArrowDown');
    await keyboard.press('Enter');
  };
  await alice.button('New chat').focus();
  await keys.press('Enter');
  await choose(alice, 1);
  await alice.page.getByRole('dialog').waitFor();
  await keys.type('tea');
  await keys.press('Enter');
  await writes(alice, 'tea');
  const id = /#g(\d+)/.exec(alice.page.url())[1];
  await bob.look();
  await bob.button('New chat').focus();
  await bob.page.keyboard.press('Enter');
  await choose(bob, 2);
  await bob.page.getByRole('dialog').waitFor();
  await bob.page.keyboard.type(id);
  await bob.page.keyboard.press('Enter');
  await writes(bob, 'tea');
  await alice.reads('alice is here', 'bob is here');
}
