// The browser loses its network and gets it back: what was written in between is
// sent then, once; what others wrote meanwhile is there, in its order.

import { check } from '../person.mjs';

export default async function offline({ person }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('one');
  await bob.enter('alice');
  await bob.reads('one');

  alice.forgiveNetwork();
  await alice.context.setOffline(true);
  await alice.away();
  await bob.write('while you were away');
  await bob.marked('stored');
  await alice.write('two');
  await alice.write('three');
  await alice.marked('queued');
  check((await bob.messages()).length === 2, 'nothing of it has gone out');

  await alice.context.setOffline(false);
  await alice.online();
  await alice.reads('one', 'while you were away', 'two', 'three');
  await bob.reads('one', 'while you were away', 'two', 'three');
  await alice.marked('read');
}
