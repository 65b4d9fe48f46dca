// Tests of which tab is active, with stand-ins for the browser's locks and messages
// between tabs.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

const channels = new Set();
globalThis.BroadcastChannel = class extends EventTarget {
  constructor() {
    super();
    channels.add(this);
  }

  postMessage(data) {
    for (const other of channels) if (other !== this) other.dispatchEvent(Object.assign(new Event('message'), { data }));
  }
};

// One lock. A request with steal gets it at once; its owner's promise is rejected late,
// when tellOwner is called.
let owner = null;
let tellOwner = () => {};
let queue = [];
const locks = {
  async request(name, options, callback) {
    return new Promise((resolve, reject) => {
      const own = () => {
        owner = { reject };
        callback().then(resolve);
      };
      if (options.steal) {
        const before = owner;
        tellOwner = () => before?.reject(new Error('stolen'));
        own();
      } else {
        queue.push(own);
      }
    });
  },
};
Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });

test('a tab that waits for the active one to reload does not take over once that one is back', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const settle = () => new Promise(setImmediate);
  const { Tabs } = await import('../app/tabs.js');
  let taken = 0;
  const resting = new Tabs(() => {}, () => taken++);
  resting.rest();
  queue.shift()(); // the active tab has begun to reload: the resting tab gets the lock
  new Tabs(() => {}, () => {}).take(); // the reloaded tab steals it
  mock.timers.tick(1000);
  await settle();
  mock.timers.tick(300);
  await settle();
  assert.equal(taken, 0, 'the resting tab took over, want that the reloaded tab stays active');
  tellOwner();

  // If nobody answers, it takes over.
  await settle();
  for (const channel of [...channels].slice(1)) channels.delete(channel);
  queue.shift()();
  mock.timers.tick(1000);
  await settle();
  mock.timers.tick(300);
  await settle();
  assert.equal(taken, 1, 'times that the resting tab took over after the active one was closed');
});
