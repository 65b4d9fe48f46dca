// On a phone, 360 pixels wide, the page shows either the list or the conversation.
// Buttons are large enough for touch, and nothing is wider than the screen.

import { check, until } from '../person.mjs';

const phone = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

export default async function narrow({ person }) {
  const alice = await person('alice', phone);
  const bob = await person('a name of fifty letters, as long as a name may be!');
  const fits = async (where) => {
    let what;
    await until(`${where} fits the screen`, async () => !(what = await tooWide()).length).catch(() => {
      throw new Error(`${where} is wider than the screen, because of ${what}`);
    });
  };
  const tooWide = async () => {
    const wide = await alice.page.evaluate(() => [...document.querySelectorAll('*')].filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width && box.right > innerWidth + 1 && !element.closest('.hidden, .skip');
    }).map((element) => `${element.tagName}.${element.className}`).slice(0, 5));
    const scroll = await alice.page.evaluate(() => document.scrollingElement.scrollWidth);
    return scroll > 360 ? [`${scroll} pixels`, ...wide] : wide;
  };
  await fits('the sign-in view');
  await alice.register();
  await fits('the empty list');
  await bob.register();
  await alice.befriend(bob.name);
  await fits('an empty conversation');
  check(!(await alice.page.locator('nav').isVisible()), 'the list is hidden while a conversation is open');
  await alice.composer(bob.name).tap();
  await alice.write(`https://example.com/${'long/'.repeat(60)}`);
  await alice.write('wwwwwwwwww'.repeat(30));
  await bob.enter('alice');
  await bob.write('一个没有空格的长句子'.repeat(30));
  await until('alice sees three messages', async () => (await alice.messages()).length === 3);
  await fits('a conversation');
  check(await alice.page.locator('form.composer').isVisible(), 'the input field is visible');
  const small = await alice.page.evaluate(() => [...document.querySelectorAll('button, a.row, a.icon-button')].filter((element) => {
    const { width, height } = element.getBoundingClientRect();
    return width && !element.matches('.link, .to-end') && (height < 32 || width < 32);
  }).map((element) => element.outerHTML.slice(0, 80)));
  check(!small.length, 'all buttons and rows are at least 32 by 32 pixels', small);
  await alice.page.getByLabel('Back to chats').tap();
  await alice.row(bob.name).waitFor();
  await fits('the list');
  await alice.row(bob.name).tap();
  await alice.composer(bob.name).waitFor();
  await alice.page.goBack();
  await alice.row(bob.name).waitFor();
}
