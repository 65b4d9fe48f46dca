// If the chat's port is one that browsers refuse to connect to, such as 6000, the page
// connects through its own address instead. It reconnects after a restart of the server.

export default async function port({ person, server }) {
  const [alice, bob] = [await person('alice'), await person('bob')];
  await alice.register();
  await bob.register();
  await alice.befriend('bob');
  await alice.write('through the page');
  await bob.enter('alice');
  await bob.reads('through the page');
  for (const user of [alice, bob]) user.allowNetworkErrors();
  await server.kill();
  await alice.offline();
  await alice.write('again');
  await server.start();
  await alice.online();
  await bob.online();
  await bob.reads('through the page', 'again');
  await alice.marked('read');
}
