// On a port that browsers connect to for nobody, as 6000 is, the chat is reached
// all the same: through the page's own address. A restart of the server is no end.

export default async function port({ person, server }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('through the page');
  await bob.enter('alice');
  await bob.reads('through the page');
  for (const somebody of [alice, bob]) somebody.forgiveNetwork();
  await server.kill();
  await alice.away();
  await alice.write('again');
  await server.start();
  await alice.online();
  await bob.online();
  await bob.reads('through the page', 'again');
  await alice.marked('read');
}
