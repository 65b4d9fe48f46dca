// Two people register and talk: each sees what the other says, that they type,
// that they are there and that they have read.

import { check, until } from '../person.mjs';

export default async function talk({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('hello bob');
  await alice.marked('stored');

  await bob.row('alice').locator('.badge').waitFor();
  check((await bob.row('alice').locator('.badge').textContent()) === '1', 'one message is unread');
  await until('the title counts it', async () => (await bob.page.title()).startsWith('(1) '));
  await bob.enter('alice');
  await bob.reads('hello bob');
  await alice.marked('read');

  await bob.composer('alice').pressSequentially('typing');
  await alice.page.getByText('typing…').first().waitFor();
  await bob.write('你好 alice!\nHow are you?');
  const [message] = await alice.reads('hello bob', '你好 alice!\nHow are you?').then((all) => all.slice(-1));
  check(!message.mine && message.seq === 2, 'it is the second message, and bob\'s');
  await until('the note of typing is gone', async () => (await alice.page.getByText('typing…').count()) === 0);

  await alice.page.locator('.about', { hasText: 'Online' }).waitFor();
  await bob.page.close();
  await alice.page.locator('.about', { hasText: 'Offline' }).waitFor();
}
