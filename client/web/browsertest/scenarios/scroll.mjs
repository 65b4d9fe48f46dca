// A conversation of two thousand messages is scrolled from its end to its beginning:
// all of it comes, in its order, and the page goes on drawing.

import { check, until } from '../person.mjs';

export default async function scroll({ person, data, fact }) {
  const alice = await person(data.name);
  await alice.logIn(data.password);
  await alice.enter(data.sender);
  await until('the end is there', async () => (await alice.messages()).at(-1)?.text === `message ${data.count}`);
  await alice.page.evaluate(() => {
    const frames = (window.frames_ = []);
    let last = performance.now();
    const frame = (now) => {
      frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const history = alice.page.getByTestId('history');
  await history.hover();
  const started = Date.now();
  await until('the beginning is there', async () => {
    await alice.page.mouse.wheel(0, -2500);
    return history.locator('li.message').first().evaluate((item) => item.querySelector('.text').textContent === 'message 1');
  });
  fact('scrolled through', data.count, 'messages');
  fact('in', Date.now() - started, 'ms');
  const frames = (await alice.page.evaluate(() => window.frames_)).sort((a, b) => a - b);
  const at = (share) => Math.round(frames[Math.floor(share * (frames.length - 1))]);
  fact('frames', frames.length);
  fact('frame, median', at(0.5), 'ms');
  fact('frame, 99th percentile', at(0.99), 'ms');
  fact('frame, longest', at(1), 'ms');
  const all = await alice.messages();
  check(all.length === data.count && all.every(({ text, seq }, i) => text === `message ${i + 1}` && seq === i + 1), `all ${data.count} are there, in their order: ${all.length}`);
}
