// Whatever users write is shown as text. Markup, scripts, script links, bidirectional
// overrides, invisible characters and very long texts, as names or messages, run nothing
// and don't break the layout.

import { check, equal, until } from '../person.mjs';

const bodies = [
  '<img src=x onerror="alert(1)">',
  '<script>alert(2)</script><svg onload=alert(3)>',
  'javascript:alert(4) [click](javascript:alert(5)) data:text/html,<script>alert(6)</script>',
  '"><iframe src="javascript:alert(7)"></iframe>&lt;b&gt;',
  '\u202e\u202dturned around\u2066\u2067\u202e end',
];

export default async function hostile({ person, data }) {
  const eve = await person('" onload="alert`11`" x="&lt;b&gt;');
  const bob = await person('bob');
  await eve.register();
  await bob.register();
  await eve.befriend('bob');
  for (const body of bodies) await eve.write(body);
  await eve.reads(...bodies);
  await eve.marked('sent');
  const group = '<img src=x onerror=alert(12)>'; // a name that only groups may have
  await bob.menu('New chat', 'New group');
  await bob.page.getByLabel('Group name').fill(group);
  await bob.page.getByLabel('Description').fill(group);
  await bob.button('Create').click();
  await bob.composer(group).waitFor();
  await bob.enter(eve.name);
  await bob.reads(...bodies);

  // Texts that our page wouldn't send come from the Go SDK: see browser_test.go.
  const mallory = data.sender;
  await bob.befriend(mallory);
  await bob.write('ready');
  const got = await until(`bob has all ${data.bodies.length} messages of ${mallory}`, async () => {
    const all = (await bob.messages()).filter(({ mine }) => !mine);
    return all.length === data.bodies.length && all;
  });
  got.forEach(({ text }, i) => check(text === data.bodies[i], `message ${i} is shown as ${JSON.stringify(data.bodies[i].slice(0, 80))}`, text.slice(0, 80)));

  const bad = await bob.page.evaluate(() => [...document.querySelectorAll('script:not([type=module]), iframe, object, embed, .history img, nav img, .message svg:not(.icon), [onerror], [onload]')]
    .filter((element) => !element.closest('.meta, .actions')).map((element) => element.outerHTML.slice(0, 100)));
  check(bad.length === 0, 'no message has created elements', bad);
  const links = await bob.page.evaluate(() => [...document.querySelectorAll('.message a')].map((a) => a.href));
  check(links.every((href) => /^https?:/.test(href)), 'all links are http or https', links);
  const wide = await bob.page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  check(wide <= 0, 'the page isn\'t wider than the window; excess pixels at most 0', wide);

  // A message with bidirectional overrides doesn't affect the time beside it.
  const turned = await bob.page.evaluate(() => [...document.querySelectorAll('.message time')].every((time) => getComputedStyle(time).direction === 'ltr' && !time.closest('.text')));
  check(turned, 'all times are left to right, outside of the text');

  // A message of the maximum length is sent. One byte more is refused.
  const area = bob.composer(mallory);
  await bob.paste('ü'.repeat(16 * 1024));
  await area.press('Enter');
  await bob.marked('sent');
  await bob.paste(`${'ü'.repeat(16 * 1024)}x`);
  await area.press('Enter');
  await bob.page.getByText('This message is too long (at most about 32,000 letters). Send it in parts.').waitFor();
  equal((await area.inputValue()).length, 16 * 1024 + 1, 'length of the input: a message that is too long must stay in the field');
  await bob.reload();
  await bob.online();
  await until('the longest message was stored completely', async () => (await bob.messages()).filter(({ mine }) => mine).at(-1)?.text.length === 16 * 1024);
}
