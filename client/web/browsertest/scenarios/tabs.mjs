// The tabs of a browser: the one that was looked at last has the chat, and where that is
// closed another one goes on, without being looked at.

import { check, until } from '../person.mjs';

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
  while (pages.length > 1) {
    await pages.pop().close();
    [alice.page] = await until('one of those that rest goes on', async () => {
      const on = await awake();
      return on.length === 1 && on;
    });
    await alice.online();
    const text = `there are ${pages.length} left`;
    await bob.write(text);
    await alice.row('bob').getByText(text).waitFor();
    check((await awake()).length === 1, 'the others rest');
    // The last one that was opened is not always the one that went on.
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
