// What people write is text, whatever it is: names, groups and messages that are
// markup, scripts, links to scripts, turn text around, are invisible or as long as
// can be are shown as they are, run nothing and break nothing.

import { check, until } from '../person.mjs';

const bodies = [
  '<img src=x onerror="alert(1)">',
  '<script>alert(2)</script><svg onload=alert(3)>',
  'javascript:alert(4) [click](javascript:alert(5)) data:text/html,<script>alert(6)</script>',
  '"><iframe src="javascript:alert(7)"></iframe>&lt;b&gt;',
  '\u202e\u202dturned around\u2066\u2067\u202e end',
];

export default async function hostile({ person, data }) {
  const eve = await person('<img src=x onerror=alert(11)>');
  const bob = await person('bob');
  await eve.register();
  await bob.register();
  await eve.befriend('bob');
  for (const body of bodies) await eve.write(body);
  await eve.reads(...bodies);
  await eve.marked('stored');
  await bob.enter(eve.name);
  await bob.reads(...bodies);

  // What no page of ours would send comes from the SDK: see browser_test.go.
  const mallory = data.sender;
  await bob.befriend(mallory);
  await bob.write('ready');
  const got = await until('all of it has come', async () => {
    const all = (await bob.messages()).filter(({ mine }) => !mine);
    return all.length === data.bodies.length && all;
  });
  got.forEach(({ text }, i) => check(text === data.bodies[i], `${JSON.stringify(data.bodies[i].slice(0, 80))} is shown as it is, not as ${JSON.stringify(text.slice(0, 80))}`));

  const bad = await bob.page.evaluate(() => [...document.querySelectorAll('script:not([type=module]), iframe, object, embed, .history img, nav img, .message svg:not(.icon), [onerror], [onload]')]
    .filter((element) => !element.closest('.meta, .actions')).map((element) => element.outerHTML.slice(0, 100)));
  check(bad.length === 0, `no element has come of it: ${bad}`);
  const links = await bob.page.evaluate(() => [...document.querySelectorAll('.message a')].map((a) => a.href));
  check(links.every((href) => /^https?:/.test(href)), `links lead to the web alone: ${links}`);
  const wide = await bob.page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  check(wide <= 0, `nothing makes the page wider, by ${wide} pixels`);

  // A text that turns around leaves what stands beside it alone: the time is
  // still to the right of what was said.
  const turned = await bob.page.evaluate(() => [...document.querySelectorAll('.message time')].every((time) => getComputedStyle(time).direction === 'ltr' && !time.closest('.text')));
  check(turned, 'the time isn\'t turned with the text');

  // As long as it can be, and one byte more.
  const area = bob.composer(mallory);
  await bob.paste('ü'.repeat(16 * 1024));
  await area.press('Enter');
  await bob.marked('stored');
  await bob.paste(`${'ü'.repeat(16 * 1024)}x`);
  await area.press('Enter');
  await bob.page.getByText('Too long: a message has 32 KiB at most.').waitFor();
  check((await area.inputValue()).length === 16 * 1024 + 1, 'what is too long stays where it was typed');
  await bob.reload();
  await bob.online();
  await until('the longest one has been stored whole', async () => (await bob.messages()).filter(({ mine }) => mine).at(-1)?.text.length === 16 * 1024);
}
