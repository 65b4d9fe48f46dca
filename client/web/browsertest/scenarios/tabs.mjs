// The tabs of a browser: the one that was looked at last has the chat, and where that is
// closed another one goes on, without being looked at.

import { until } from '../person.mjs';

export default async function tabs({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await bob.befriend('alice');

  const pages = [alice.page];
  for (let i = 1; i < 4; i++) {
    await alice.open();
    await alice.online();
    await pages.at(-1).getByTestId('resting').waitFor();
    pages.push(alice.page);
  }
  const awake = async () => {
    const rest = await Promise.all(pages.map((page) => page.getByTestId('resting').count()));
    return pages.filter((_, i) => rest[i] === 0);
  };
  for (let left = 3; left > 0; left--) {
    await pages.pop().close();
    const text = `there are ${left} left`;
    await bob.write(text);
    alice.page = await until('one of those that rest goes on, and hears of it', async () => {
      const [on, ...others] = await awake();
      return on && !others.length && (await on.locator('nav a.row', { hasText: text }).count()) > 0 && on;
    });
    // The one that is closed next is the one that went on.
    pages.splice(pages.indexOf(alice.page), 1);
    pages.push(alice.page);
  }

  // One that is reloaded is the same one again, and the button takes the chat over.
  await alice.open();
  await alice.online();
  pages.push(alice.page);
  await pages[0].getByTestId('resting').waitFor();
  await alice.reload();
  await alice.online();
  await pages[0].getByTestId('resting').waitFor();
  await pages[0].getByRole('button', { name: 'Use it here' }).click();
  await pages[1].getByTestId('resting').waitFor();
  [alice.page] = pages;
  await alice.online();
}
