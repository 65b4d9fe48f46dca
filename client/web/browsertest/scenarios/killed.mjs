// The server is killed and restarted while users talk. Both see that they are offline.
// Messages written meanwhile are sent afterwards, once and in order, even by a page that
// was reloaded in between. No message is lost.

import { equal, until } from '../person.mjs';

export default async function killed({ person, server }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('1');
  await bob.enter('alice');
  await bob.reads('1');
  await bob.write('2');
  await alice.reads('1', '2');

  for (const user of [alice, bob]) user.allowNetworkErrors();
  await server.kill();
  await alice.offline();
  await bob.offline();
  for (const text of ['3', '4', '5']) await alice.write(text);
  await alice.reads('1', '2', '3', '4', '5'); // unsent messages are shown
  await alice.marked('queued');

  await server.start();
  await alice.reload(); // unsent messages survive a reload
  await alice.online();
  await bob.online();
  await alice.reads('1', '2', '3', '4', '5');
  await bob.reads('1', '2', '3', '4', '5');
  // If bob read the messages during the reload, alice's page missed that. A new message gets its mark.
  await alice.write('6');
  await bob.reads('1', '2', '3', '4', '5', '6');
  await alice.marked('read');
  const numbers = (await bob.messages()).map(({ seq }) => seq);
  equal(numbers.join(), '1,2,3,4,5,6', 'seqs of bob\'s messages');
  await until('alice has no unsent messages', async () => (await alice.messages()).every(({ mine, mark }) => !mine || mark === 'read'));
}
