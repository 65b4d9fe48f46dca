// Two users register and talk. Each sees the other's messages, and that the other is
// typing, is online and has read.

import { check, equal, until } from '../person.mjs';

export default async function talk({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('hello bob');
  await alice.marked('sent');

  await bob.row('alice').locator('.badge').waitFor();
  equal(await bob.row('alice').locator('.badge').textContent(), '1', 'badge with bob\'s unread messages');
  await until('bob\'s title shows one unread message', async () => (await bob.page.title()).startsWith('(1) '));
  await bob.enter('alice');
  await bob.reads('hello bob');
  await alice.marked('read');

  await bob.composer('alice').pressSequentially('typing');
  await alice.page.getByText('typing…').first().waitFor();
  await bob.write('你好 alice!\nHow are you?');
  const [message] = await alice.reads('hello bob', '你好 alice!\nHow are you?').then((all) => all.slice(-1));
  check(!message.mine && message.seq === 2, 'alice\'s last message has seq 2 and is bob\'s', message);
  await until('bob is no longer shown as typing', async () => (await alice.page.getByText('typing…').count()) === 0);

  await alice.page.locator('.about', { hasText: 'Online' }).waitFor();
  await bob.page.close();
  await alice.page.locator('.about', { hasText: 'Offline' }).waitFor();
}
