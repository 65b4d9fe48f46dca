// A group: made by one, joined by others by its number, and all of them talk.

import { until } from '../person.mjs';

export default async function group({ person }) {
  const people = [await person('alice'), await person('bob'), await person('carol')];
  for (const somebody of people) await somebody.register();
  const [alice, bob, carol] = people;

  await alice.menu('New', 'New group');
  await alice.page.getByLabel('Name of the group').fill('茶 tea');
  await alice.page.getByLabel('What it is about').fill('what we drink');
  await alice.button('Create').click();
  await alice.composer('茶 tea').waitFor();
  const number = await until('the address names the group', () => /^#g(\d+)$/.exec(new URL(alice.page.url()).hash)?.[1]);

  for (const somebody of [bob, carol]) {
    await somebody.menu('New', 'Join a group');
    await somebody.page.getByLabel('Number of the group').fill(number);
    await somebody.button('Join').click();
    await somebody.composer('茶 tea').waitFor();
  }
  await alice.page.getByText('3 members, 3 online').first().waitFor();

  await alice.write('green or black?');
  await bob.reads('green or black?');
  await bob.write('green');
  await carol.reads('green or black?', 'green');
  await carol.write('both');
  for (const somebody of people) await somebody.reads('green or black?', 'green', 'both');
  await until('it is told who has said it', async () => (await alice.page.locator('li.message .author:not(.hidden)').allInnerTexts()).join().includes('bob'));
}
