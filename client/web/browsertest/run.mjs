// Drives a browser, node run.mjs chromium|firefox PROGRAM, through scenarios, told which
// by browser_test.go on its standard input, a JSON object to a line:
//
//   → {"run": "talk", "url": "http://127.0.0.1:1/", "data": …}
//   ← {"ask": "kill"}      the server is to be killed, or "start"ed again
//   → {}                   it is done; {"error": "…"}: it can't be
//   ← {"fact": "…", "value": 1, "unit": "ms"}
//   ← {"done": true}       or {"done": true, "error": "…"}
//
// It ends, and the browser with it, where its input does.

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { longest, Person } from './person.mjs';

const require = createRequire(`${process.env.CHATD_PACKAGES}/`);
const { chromium, firefox } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

async function hear() {
  const { value, done } = await lines.next();
  return done ? null : JSON.parse(value);
}

async function ask(what) {
  tell({ ask: what });
  const { error } = (await hear()) ?? { error: 'nobody answers' };
  if (error) throw new Error(`${what} the server: ${error}`);
}

// The browser asks its maker for nothing while it is tested: what it wants of the
// network by itself is neither ours nor there.
const [,, kind, executablePath] = process.argv;
const launch = {
  chromium: () => chromium.launch({
    timeout: longest,
    executablePath,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
  }),
  firefox: () => firefox.launch({ timeout: longest, executablePath, channel: 'moz-firefox' }), // by WebDriver BiDi
}[kind];
const browser = await launch().catch(launch); // once more, where a machine was too busy

const scenarios = {};
for (const name of readdirSync(new URL('scenarios', import.meta.url))) {
  const { default: run } = await import(`./scenarios/${name}`);
  scenarios[name.replace('.mjs', '')] = run;
}
tell({ ready: true, browser: browser.version(), scenarios: Object.keys(scenarios).sort() });

async function play({ run, url, data }) {
  const people = [];
  const stage = {
    url,
    data,
    kind,
    browser,
    axe,
    fact: (fact, value, unit = '') => tell({ fact, value, unit }),
    server: { kill: () => ask('kill'), start: () => ask('start') },
    /** Somebody at a browser of their own, who has opened the page. */
    async person(name, options) {
      const somebody = await Person.come(browser, url, name, options);
      people.push(somebody);
      return somebody;
    },
  };
  try {
    await scenarios[run](stage);
    for (const somebody of people) somebody.complain();
    return null;
  } catch (error) {
    const seen = await Promise.all(people.map((somebody) => somebody.describe()));
    return `${error.stack}\n${seen.join('\n')}`;
  } finally {
    await Promise.all(people.map((somebody) => somebody.context.close()));
  }
}

for (let what; (what = await hear());) {
  const error = await play(what);
  tell(error ? { done: true, error } : { done: true });
}
await browser.close();
