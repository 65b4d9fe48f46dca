// The server is killed while people talk, and comes back: both sides see it, what
// was written meanwhile goes out by itself, once and in its order, also by a page
// that was loaded anew in between, and nothing of what was said is lost.

import { check, until } from '../person.mjs';

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

  for (const somebody of [alice, bob]) somebody.forgiveNetwork();
  await server.kill();
  await alice.away();
  await bob.away();
  for (const text of ['3', '4', '5']) await alice.write(text);
  await alice.reads('1', '2', '3', '4', '5'); // what is written stands there
  await alice.marked('queued');

  await server.start();
  await alice.reload(); // what waits outlives the page
  await alice.online();
  await bob.online();
  await alice.reads('1', '2', '3', '4', '5');
  await bob.reads('1', '2', '3', '4', '5');
  // What bob has read in the moment of the reload nobody tells the page any more; of the next one it is told.
  await alice.write('6');
  await bob.reads('1', '2', '3', '4', '5', '6');
  await alice.marked('read');
  const numbers = (await bob.messages()).map(({ seq }) => seq);
  check(numbers.join() === '1,2,3,4,5,6', `no number is missing or twice: ${numbers}`);
  await until('nothing waits', async () => (await alice.messages()).every(({ mine, mark }) => !mine || mark === 'read'));
}
