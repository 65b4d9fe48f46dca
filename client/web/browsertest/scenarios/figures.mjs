// How much a browser has to get before somebody can do something, and how long that
// takes. What is asserted is that nothing comes from elsewhere, and that the whole
// isn't larger than it is meant to be.

import { check, longest } from '../person.mjs';

const people = 5; // who come, each with a browser that has nothing of the page
const visits = 3; // of each

/** In the page, before anything else runs: notes when the way in has been drawn, in ms. */
function watch() {
  const look = () => {
    if (!document.querySelector('form input')) return requestAnimationFrame(look);
    setTimeout(() => (window.usable_ = performance.now())); // behind the frame that shows it
  };
  requestAnimationFrame(look);
}

const median = (times) => Math.round(times.sort((a, b) => a - b)[Math.floor(times.length / 2)]);

export default async function figures({ browser, url, fact }) {
  const [first, later] = [[], []];
  for (let i = 0; i < people; i++) {
    const context = await browser.newContext();
    context.setDefaultTimeout(longest);
    await context.addInitScript(watch);
    const page = await context.newPage();
    const responses = [];
    page.on('response', (response) => responses.push(response));
    for (let visit = 0; visit < visits; visit++) {
      responses.length = 0;
      await page.goto(url);
      const { usable } = await page.waitForFunction(() => window.usable_ && { usable: window.usable_ }).then((handle) => handle.jsonValue());
      (visit ? later : first).push(usable);
      await page.waitForFunction(() => performance.getEntriesByName('ready').length); // what is behind the way in comes while one types
      check(responses.every((response) => response.url().startsWith(url)), `all of it comes from ${url}`);
      if (i || visit) continue;
      check(responses.some((response) => response.url().endsWith('/sdk/wire.js')), 'all of it is there');
      let plain = 0;
      for (const response of responses) plain += (await response.body()).length;
      const sizes = await Promise.all(responses.map((response) => response.request().sizes()));
      fact('responses', responses.length);
      fact('bytes, uncompressed', plain);
      fact('bytes on the wire', sizes.reduce((sum, { responseBodySize, responseHeadersSize }) => sum + responseBodySize + responseHeadersSize, 0));
      fact('first contact to usable, the first of all', Math.round(usable), 'ms');
      check(plain < 150 << 10, `a page has less than 150 KiB, not ${plain}`);
    }
    await context.close();
  }
  fact(`first contact to usable, median of ${people}`, median(first), 'ms');
  fact('later visits, median', median(later), 'ms');
}
