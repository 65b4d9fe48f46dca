// A user creates a group, others join it with its ID, and all of them talk.

import { until } from '../person.mjs';

export default async function group({ person }) {
  const people = [await person('alice'), await person('bob'), await person('carol')];
  for (const user of people) await user.register();
  const [alice, bob, carol] = people;

  await alice.menu('New chat', 'New group');
  await alice.page.getByLabel('Group name').fill('茶 tea');
  await alice.page.getByLabel('Description').fill('what we drink');
  await alice.button('Create').click();
  await alice.composer('茶 tea').waitFor();
  const id = await until('the URL has the group\'s ID', () => /^#g(\d+)$/.exec(new URL(alice.page.url()).hash)?.[1]);

  for (const user of [bob, carol]) {
    await user.menu('New chat', 'Join group');
    await user.page.getByLabel('Group ID').fill(id);
    await user.button('Join').click();
    await user.composer('茶 tea').waitFor();
  }
  await alice.page.getByText('3 members, 3 online').first().waitFor();

  await alice.write('green or black?');
  await bob.reads('green or black?');
  await bob.write('green');
  await carol.reads('green or black?', 'green');
  await carol.write('both');
  for (const user of people) await user.reads('green or black?', 'green', 'both');
  await until('alice sees that bob is an author', async () => (await alice.page.locator('li.message .author:not(.hidden)').allInnerTexts()).join().includes('bob'));
}
