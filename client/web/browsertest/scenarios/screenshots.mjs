// Takes the documentation's screenshots, as the guest user of a running demo: see
// make screenshots. This is not a test.

import { writeFile } from 'node:fs/promises';
import { until } from '../person.mjs';

const phone = { viewport: { width: 390, height: 760 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const desk = { viewport: { width: 1180, height: 740 }, deviceScaleFactor: 1.5 };

const pictures = [
  { name: 'light', room: 'Tea room', say: 'A cup of the white one for me, please 🍵', options: { ...desk, colorScheme: 'light' } },
  { name: 'dark', room: 'Book club', options: { ...desk, colorScheme: 'dark' } },
  { name: 'phone-list', options: { ...phone, colorScheme: 'light' } },
  { name: 'phone', room: 'Night shift', options: { ...phone, colorScheme: 'dark' } },
  { name: 'chinese', room: 'Book club', options: { ...desk, locale: 'zh-CN', colorScheme: 'light' } },
];

export default async function screenshots({ person, data, fact }) {
  for (const { name, room, say, options } of pictures) {
    const guest = await person(data.name, options);
    const { page } = guest;
    await page.locator('#name').fill(data.name);
    await page.locator('#password').fill(data.password);
    await page.locator('form button[type=submit]').click();
    await guest.online();
    if (room) {
      await guest.row(room).click();
      await page.locator('form.composer').waitFor();
    }
    if (say) {
      await guest.write(say);
      await guest.marked('sent');
      await until('someone answers', async () => !(await guest.messages()).at(-1).mine);
    }
    await until('someone is typing', async () => (await page.locator('.live').count()) > 0);
    await until(`there are more than 5 ${room ? 'messages' : 'conversations'}`, async () => (await page.locator(room ? 'li.message' : 'nav a.row').count()) > 5);
    const devtools = await guest.context.newCDPSession(page);
    const { data: picture } = await devtools.send('Page.captureScreenshot', { format: 'webp', quality: 82 });
    const bytes = Buffer.from(picture, 'base64');
    await writeFile(`${data.dir}/${name}.webp`, bytes);
    fact(`${name}.webp`, Math.ceil(bytes.length / 1024), 'KiB');
    await page.close(); // each picture uses another device of the guest
  }
}
