// Of a browser's tabs, the one that came to the front last is active. When it is closed,
// another one takes over without coming to the front.

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
    alice.page = await until('exactly one resting tab takes over, and gets the message', async () => {
      const [on, ...others] = await awake();
      return on && !others.length && (await on.locator('nav a.row', { hasText: text }).count()) > 0 && on;
    });
    // Move the tab that took over to the end: it is the next one to be closed.
    pages.splice(pages.indexOf(alice.page), 1);
    pages.push(alice.page);
  }

  // A reloaded tab stays active. The button in an inactive tab takes over.
  await alice.open();
  await alice.online();
  pages.push(alice.page);
  await pages[0].getByTestId('resting').waitFor();
  await alice.reload();
  await alice.online();
  await pages[0].getByTestId('resting').waitFor();
  await pages[0].getByRole('button', { name: 'Use here' }).click();
  await pages[1].getByTestId('resting').waitFor();
  [alice.page] = pages;
  await alice.online();
}
