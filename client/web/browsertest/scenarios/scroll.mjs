// Scrolls a conversation of 2,000 messages from the end to the beginning, as fast as the
// messages are loaded, and back. All messages are there, in order. Measures the frame times.

import { check, equal, until } from '../person.mjs';

/** Runs in the page. Records the durations of frames and of long tasks, in ms. */
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
  await until('the last message is visible', async () => (await alice.messages()).at(-1)?.text === `message ${data.count}`);
  const history = alice.page.getByTestId('history');
  await history.hover();
  const report = async (way) => {
    const { frames, long } = await alice.page.evaluate(() => window.recorded_);
    frames.sort((a, b) => a - b);
    const at = (share) => Math.round(frames[Math.floor(share * (frames.length - 1))]);
    fact(`${way}: frames`, frames.length);
    fact(`${way}: frame time, median`, at(0.5), 'ms');
    fact(`${way}: frame time, 99th percentile`, at(0.99), 'ms');
    fact(`${way}: frame time, longest`, at(1), 'ms');
    fact(`${way}: tasks of more than 50 ms`, long.length);
  };

  await alice.page.evaluate(record);
  const started = Date.now();
  await until('the first message is loaded', async () => {
    await alice.page.mouse.wheel(0, -2500);
    return history.locator('li.message').first().evaluate((item) => item.querySelector('.text').textContent === 'message 1');
  });
  fact('time to scroll to the beginning', Date.now() - started, 'ms');
  await report('scrolling up');
  const all = await alice.messages();
  equal(all.length, data.count, 'messages on the page');
  const wrong = all.findIndex(({ text, seq }, i) => text !== `message ${i + 1}` || seq !== i + 1);
  check(wrong < 0, `message ${wrong + 1} has its own text and seq`, all[wrong]);

  await alice.page.evaluate(record);
  await until('the view is at the end again', async () => {
    await alice.page.mouse.wheel(0, 600);
    return history.evaluate((scroller) => scroller.scrollTop > -1);
  });
  await report('scrolling down');
}
