// How much a browser has to get before somebody can do something, and how long that
// takes. What is asserted is that nothing comes from elsewhere, that the whole
// isn't larger than it is meant to be, and that it isn't got again.

import { check, longest } from '../person.mjs';

export default async function figures({ browser, url, fact }) {
  const context = await browser.newContext();
  context.setDefaultTimeout(longest);
  const page = await context.newPage();
  const responses = [];
  page.on('response', (response) => responses.push(response));
  const times = [];
  let plain = 0;
  for (let visit = 0; visit < 5; visit++) {
    responses.length = 0;
    await page.goto(url);
    await page.getByLabel('Name or number').waitFor();
    times.push(await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => resolve(performance.now())))));
    check(responses.every((response) => response.url().startsWith(url)), `all of it comes from ${url}`);
    if (visit === 0) {
      for (const response of responses) plain += (await response.body()).length;
      const sizes = await Promise.all(responses.map((response) => response.request().sizes()));
      fact('responses', responses.length);
      fact('bytes, uncompressed', plain);
      fact('bytes on the wire', sizes.reduce((sum, { responseBodySize, responseHeadersSize }) => sum + responseBodySize + responseHeadersSize, 0));
      fact('first contact to usable', Math.round(times[0]), 'ms');
    }
  }
  fact('later visits, median', Math.round(times.slice(1).sort((a, b) => a - b)[2]), 'ms');
  check(plain < 150 << 10, `a page has less than 150 KiB, not ${plain}`);
  await context.close();
}
