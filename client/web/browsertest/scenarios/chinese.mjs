// A browser that prefers Chinese shows the page in Chinese, without any English. Enter
// that confirms a word in an input method doesn't send the message.

import { check, equal, until } from '../person.mjs';

export default async function chinese({ kind, person }) {
  const mei = await person('小梅', { locale: 'zh-CN' });
  const bob = await person('bob');
  const { page } = mei;
  const allChinese = async (where) => {
    const words = await page.evaluate(() => [document.body.innerText, ...[...document.querySelectorAll('[aria-label], [title], [placeholder]')].flatMap((element) =>
      ['aria-label', 'title', 'placeholder'].map((name) => element.getAttribute(name) ?? ''))].join('\n').match(/[A-Za-z]{3,}/g) ?? []);
    const left = words.filter((word) => !['chatd', 'Ctrl', 'bob'].includes(word));
    check(!left.length, `no English words in ${where}`, left);
  };
  equal(await page.evaluate(() => document.documentElement.lang), 'zh', 'lang of the page');
  await allChinese('the sign-in view');
  await page.getByRole('button', { name: '注册', exact: true }).click();
  await page.getByLabel('用户名', { exact: true }).fill(mei.name);
  await page.getByLabel('密码', { exact: true }).fill('secret-secret');
  await page.locator('form button[type=submit]').click();
  await mei.online();
  await bob.register();
  await allChinese('the empty list');

  await bob.befriend('小梅');
  await bob.write('🍵');
  await mei.row('bob').click();
  await mei.reads('🍵');
  await allChinese('a conversation');

  const area = page.locator('form.composer textarea');
  if (kind === 'chromium') await compose(mei, area);
  else await area.fill('你好');
  await area.press('Enter');
  await bob.reads('🍵', '你好');
  await mei.marked('read');
  await page.getByLabel('详情').click();
  await allChinese('the details');
}

/** Types a word with an input method, and confirms it with Enter. Works only in Chromium. */
async function compose(mei, area) {
  await area.focus();
  const devtools = await mei.context.newCDPSession(mei.page);
  await devtools.send('Input.imeSetComposition', { text: 'ni hao', selectionStart: 6, selectionEnd: 6 });
  await devtools.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 229 });
  await devtools.send('Input.dispatchKeyEvent', { type: 'keyUp', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 });
  await devtools.send('Input.insertText', { text: '你好' });
  await until('the word is in the input field', async () => (await area.inputValue()) === '你好');
  equal((await mei.messages()).length, 1, 'messages after Enter has confirmed a word, which must not send it');
}
