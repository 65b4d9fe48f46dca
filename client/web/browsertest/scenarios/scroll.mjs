// A conversation of two thousand messages is scrolled from its end to its beginning, as
// fast as it comes, and back: all of it is there, in its order. How the page goes on drawing is told.

import { check, until } from '../person.mjs';

/** In the page: notes how long each frame takes, and what keeps the page from drawing, in ms. */
function record() {
  const now = (window.recorded_ = { frames: [], long: [] });
  new PerformanceObserver((list) => now.long.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
  let last = performance.now();
  const frame = (time) => {
    now.frames.push(time - last);
    last = time;
    if (now === window.recorded_) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

export default async function scroll({ person, data, fact }) {
  const alice = await person(data.name);
  await alice.logIn(data.password);
  await alice.enter(data.sender);
  await until('the end is there', async () => (await alice.messages()).at(-1)?.text === `message ${data.count}`);
  const history = alice.page.getByTestId('history');
  await history.hover();
  const report = async (way) => {
    const { frames, long } = await alice.page.evaluate(() => window.recorded_);
    frames.sort((a, b) => a - b);
    const at = (share) => Math.round(frames[Math.floor(share * (frames.length - 1))]);
    fact(`${way}: frames`, frames.length);
    fact(`${way}: a frame, median`, at(0.5), 'ms');
    fact(`${way}: a frame, 99th percentile`, at(0.99), 'ms');
    fact(`${way}: a frame, longest`, at(1), 'ms');
    fact(`${way}: tasks of more than 50 ms`, long.length);
  };

  await alice.page.evaluate(record);
  const started = Date.now();
  await until('the beginning is there', async () => {
    await alice.page.mouse.wheel(0, -2500);
    return history.locator('li.message').first().evaluate((item) => item.querySelector('.text').textContent === 'message 1');
  });
  fact('to the beginning', Date.now() - started, 'ms');
  await report('up, as it comes');
  const all = await alice.messages();
  check(all.length === data.count && all.every(({ text, seq }, i) => text === `message ${i + 1}` && seq === i + 1), `all ${data.count} are there, in their order: ${all.length}`);

  await alice.page.evaluate(record);
  await until('the end is there again', async () => {
    await alice.page.mouse.wheel(0, 600);
    return history.evaluate((scroller) => scroller.scrollTop > -1);
  });
  await report('down, as by hand');
}
