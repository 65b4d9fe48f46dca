// Measures how much a browser loads until the sign-in view is usable, and how long that
// takes. Checks that everything comes from the server itself, and that it is less than
// 153 KiB.

import { check, longest } from '../person.mjs';

const people = 5; // users, each with an empty cache
const visits = 3; // of each user

/** Runs in the page before its scripts. Stores the time in ms when the sign-in view was painted. */
function watch() {
  const look = () => {
    if (!document.querySelector('form input')) return requestAnimationFrame(look);
    setTimeout(() => (window.usable_ = performance.now())); // after the frame was painted
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
      await page.waitForFunction(() => performance.getEntriesByName('ready').length); // the rest of the page is loaded
      const foreign = responses.map((response) => response.url()).filter((from) => !from.startsWith(url));
      check(!foreign.length, `all files come from ${url}`, foreign);
      if (i || visit) continue;
      check(responses.some((response) => response.url().endsWith('/sdk/wire.js')), 'sdk/wire.js is loaded, so all modules are', responses.map((response) => response.url()));
      let plain = 0;
      for (const response of responses) plain += (await response.body()).length;
      const sizes = await Promise.all(responses.map((response) => response.request().sizes()));
      fact('responses', responses.length);
      fact('bytes, uncompressed', plain);
      fact('bytes on the wire', sizes.reduce((sum, { responseBodySize, responseHeadersSize }) => sum + responseBodySize + responseHeadersSize, 0));
      fact('time until usable, very first visit', Math.round(usable), 'ms');
      check(plain < 153 << 10, `the page has less than ${153 << 10} bytes`, plain);
    }
    await context.close();
  }
  fact(`time until usable, median of ${people} first visits`, median(first), 'ms');
  fact('time until usable, median of later visits', median(later), 'ms');
}
