// The browser loses the network and gets it back. Messages written meanwhile are sent
// afterwards, once, and messages from others appear in order.

import { equal } from '../person.mjs';

export default async function offline({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('one');
  await bob.enter('alice');
  await bob.reads('one');

  alice.allowNetworkErrors();
  await alice.context.setOffline(true);
  await alice.offline();
  await bob.write('while you were away');
  await bob.marked('sent');
  await alice.write('two');
  await alice.write('three');
  await alice.marked('queued');
  equal((await bob.messages()).length, 2, 'bob\'s messages while alice is offline');

  await alice.context.setOffline(false);
  await alice.online();
  await alice.reads('one', 'while you were away', 'two', 'three');
  await bob.reads('one', 'while you were away', 'two', 'three');
  await alice.marked('read');
}
