// Runs scenarios in a browser: node run.mjs chromium|firefox PROGRAM. browser_test.go
// controls it over standard input (→) and output (←), with one JSON object per line:
//
//   → {"run": "talk", "url": "http://127.0.0.1:1/", "data": …}
//   ← {"ask": "kill"}      asks to kill the server, or to "start" it again
//   → {}                   done, or {"error": "…"}
//   ← {"fact": "…", "value": 1, "unit": "ms"}   a measurement, to be logged
//   ← {"done": true}       or {"done": true, "error": "…"}
//
// At the end of the input it closes the browser and exits.

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
  const { error } = (await hear()) ?? { error: 'the input ended before the answer' };
  if (error) throw new Error(`could not ${what} the server: ${error}`);
}

// Chromium may connect only to this machine, not to its vendor's services.
const [,, kind, executablePath] = process.argv;
const launch = {
  chromium: () => chromium.launch({
    timeout: longest,
    executablePath,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
  }),
  firefox: () => firefox.launch({ timeout: longest, executablePath, channel: 'moz-firefox' }), // uses WebDriver BiDi
}[kind];
const browser = await launch().catch(launch); // retry once: the machine may be busy

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
    /** Returns a Person with a browser context of their own, who has opened the page. */
    async person(name, options) {
      const person = await Person.create(browser, url, name, options);
      people.push(person);
      return person;
    },
  };
  try {
    await scenarios[run](stage);
    for (const person of people) person.checkErrors();
    return null;
  } catch (error) {
    const seen = await Promise.all(people.map((person) => person.describe()));
    return `${error.stack}\n${seen.join('\n')}`;
  } finally {
    await Promise.all(people.map((person) => person.context.close()));
  }
}

for (let what; (what = await hear());) {
  const error = await play(what);
  tell(error ? { done: true, error } : { done: true });
}
await browser.close();
