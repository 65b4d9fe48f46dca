// Tests of the modules that need no browser. web_test.go runs them in the time zone
// of Berlin, where one day a year has 23 hours and one has 25.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { initials } from '../app/avatar.js';
import { text as chinese } from '../app/chinese.js';
import { clock, dayName, dayOf, shortTime, tomorrow } from '../app/dates.js';
import { text as english } from '../app/english.js';
import { cut, isolate } from '../app/foreign.js';
import { choose, text as shownText } from '../app/language.js';
import { pieces } from '../app/links.js';
import { lines } from '../app/runs.js';
import { describe } from '../app/status.js';

const quote = JSON.stringify;
const equal = (got, want, what) => assert.equal(got, want, `${what}: got ${quote(got)}, want ${quote(want)}`);
const same = (got, want, what) => assert.deepEqual(got, want, `${what}: got ${quote(got)}, want ${quote(want)}`);

test('pieces keep the text unchanged, and only http and https become links', () => {
  const cases = [
    ['', []],
    ['no link', []],
    ['https://example.org', ['https://example.org']],
    ['see http://a.example/b?c=d&e=f#g.', ['http://a.example/b?c=d&e=f#g']],
    ['(https://a.example/b_(c))', ['https://a.example/b_(c)']],
    ['https://a.example/b, and https://c.example!', ['https://a.example/b', 'https://c.example']],
    ['看https://a.example/b这个', ['https://a.example/b']],
    ['“https://a.example/b”。', ['https://a.example/b']],
    ['https://de.example/Käse', ['https://de.example/Käse']],
    ['HTTPS://A.EXAMPLE', ['HTTPS://A.EXAMPLE']],
    ['javascript:alert(1)', []],
    ['javascript://x.example/%0aalert(1)', []],
    ['data:text/html,x ftp://a.example //a.example www.a.example', []],
    ['https://', []],
    ['https://bank.example@evil.example/', []], // looks like a link to bank.example
    ['xhttps://a.example', []],
    ['<https://a.example/><b>', ['https://a.example/']],
    ['https://a.example/"onclick="x', ['https://a.example/']],
  ];
  for (const [text, links] of cases) {
    const all = pieces(text);
    equal(all.map((piece) => piece.text).join(''), text, `text of pieces(${quote(text)})`);
    same(all.filter((piece) => piece.href).map((piece) => piece.text), links, `links of pieces(${quote(text)})`);
    for (const { href } of all) if (href) assert.match(href, /^https?:\/\//, `pieces(${quote(text)}) links to ${href}, want http or https`);
  }
});

test('a link is shown as its URL if its text could be read differently', () => {
  for (const [text, shown] of [
    ['https://\u0430pple.com/x', 'https://xn--pple-43d.com/x'], // a Cyrillic letter
    ['https://пример.рф/x', 'https://xn--e1afmkfd.xn--p1ai/x'],
    ['https://google.com\u2044a.example', 'https://google.xn--coma-2g7a.example/'], // looks like a slash
    ['https://exa\u00admple.com/', 'https://example.com/'], // a soft hyphen
    ['https://a.example/\u202egpj.exe', 'https://a.example/%E2%80%AEgpj.exe'], // would be reversed
    ['https://a.example/שלום?x#y', 'https://a.example/שלום?x#y'],
    ['https://a.example:8443', 'https://a.example:8443'],
  ]) {
    const [link] = pieces(text);
    equal(link.text, shown, `text of the link ${quote(text)}`);
    assert.ok(link.href, `pieces(${quote(text)}) is ${quote(link)}, want a link`);
  }
});

test('texts are cut between characters, as people see them', () => {
  equal(cut(`${'a'.repeat(199)}👩‍💻x`, 200), `${'a'.repeat(199)}👩‍💻`, 'cut at a sequence of emoji');
  equal(cut('e\u0301e\u0301', 1), 'e\u0301', 'cut at an accent');
  equal(cut('ab', 3), 'ab', 'a short text');
  equal(initials('🇩🇪 🇫🇷'), '🇩🇪🇫🇷', 'initials of flags');
});

test('a name that is written from right to left doesn’t reorder the text beside it', () => {
  equal(isolate('bob'), 'bob', 'a name from left to right');
  equal(isolate('שלום'), '\u2068שלום\u2069', 'a name from right to left');
  equal(isolate('a\u2069\u202eb'), '\u2068ab\u2069', 'a name with controls');
  equal(isolate(7), 7, 'a number');
  equal(shownText.said('שלום', 'hi'), '\u2068שלום\u2069: hi', 'a message in the list');
});

test('a long text with many brackets is split in linear time', () => {
  // Quadratic time would be many minutes.
  for (const end of ['(.', ')', ')]', ').']) {
    const text = 'https://a.example/' + end.repeat(100_000);
    assert.ok(pieces(text).map((piece) => piece.text).join('') === text, `the pieces of a link that ends with ${end}, joined, differ from the text`);
  }
});

test('only the first 100 links of a message become links', () => {
  // A message of 32 KiB has space for thousands, which take a quarter of a second to
  // parse and show. An invalid one takes as long, so it counts, too.
  for (const [link, want] of [['https://a.example', 100], ['https://[', 0]]) {
    const words = `${link} `.repeat(100);
    const text = `${words}${words}https://last.example!`;
    const all = pieces(text);
    equal(all.map((piece) => piece.text).join(''), text, `text of 201 links, most of them ${link}`);
    equal(all.filter((piece) => piece.href).length, want, `number of links of 201, most of them ${link}`);
  }
  equal(pieces('https://a.example '.repeat(100)).filter((piece) => piece.href).length, 100, 'number of links of 100');
});

test('messages are grouped by sender, time and day', () => {
  const at = new Date(2026, 2, 28, 23, 55).getTime();
  const said = (seq, from, minutes) => ({ seq, from, cid: `c${seq}`, time: at + minutes * 60_000 });
  const messages = [said(1, 1, 0), said(2, 1, 1), said(3, 2, 2), said(4, 2, 4), said(5, 2, 10), said(6, 1, 16)];
  const shape = (all) => all.map((line) => (line.kind === 'message' ? `${line.message.seq}${line.first ? 'f' : ''}${line.last ? 'l' : ''}` : line.kind));
  same(shape(lines(messages, { me: 1 })), ['day', '1f', '2l', '3f', '4l', 'day', '5fl', '6fl'], 'lines without unread messages');
  same(shape(lines(messages, { me: 1, unreadAfter: 3 })), ['day', '1f', '2l', '3fl', 'unread', '4fl', 'day', '5fl', '6fl'], 'lines with unreadAfter 3');
  equal(shape(lines(messages, { me: 2, unreadAfter: 2 })).indexOf('unread'), 7, 'index of the unread line: own messages are never unread');
  same(lines([], { me: 1 }), [], 'lines of no messages');
  const keys = lines([...messages, { from: 1, cid: 'waits', time: at }], { me: 1, unreadAfter: 1 }).map((line) => line.key);
  equal(new Set(keys).size, keys.length, `number of different keys in ${quote(keys)}`);
});

test('an own message keeps its key when it is stored', () => {
  const key = (message) => lines([message], { me: 1 }).at(-1).key;
  equal(key({ from: 1, cid: 'a', time: 9, seq: 7 }), key({ from: 1, cid: 'a', time: 5 }), 'key of the stored message');
});

test('days follow the calendar, also when a day has 23 or 25 hours', () => {
  for (const [month, day] of [[2, 29], [9, 25], [0, 1]]) {
    const noon = new Date(2026, month, day, 12).getTime();
    const before = new Date(2026, month, day - 1, 0, 30).getTime();
    const at = new Date(noon).toDateString();
    equal(dayName(noon, noon), english.today, `dayName of noon, ${at}`);
    equal(dayName(before, noon), english.yesterday, `dayName of 0:30 on the day before ${at}`);
    equal(dayName(new Date(2026, month, day, 0, 0, 1).getTime(), noon), english.today, `dayName of 0:00:01, ${at}`);
    equal(new Date(tomorrow(noon)).getHours(), 0, `hour of tomorrow(${at})`);
    equal(new Date(tomorrow(noon)).getDate(), new Date(2026, month, day + 1).getDate(), `day of tomorrow(${at})`);
    equal(dayOf(noon), new Date(2026, month, day).getTime(), `dayOf(${at})`);
  }
});

test('times are as short as possible without being ambiguous', () => {
  const now = new Date(2026, 10, 25, 12).getTime(); // a Wednesday
  const on = (year, month, day, hour = 0) => new Date(year, month - 1, day, hour).getTime();
  const matches = (got, pattern, what) => assert.match(got, pattern, `${what}: got ${quote(got)}, want a match of ${pattern}`);
  equal(shortTime(now - 60_000, now), clock(now - 60_000), 'shortTime of a minute ago');
  equal(shortTime(on(2026, 11, 24, 23), now), english.yesterday, 'shortTime of yesterday');
  equal(shortTime(on(2026, 11, 20, 23), now), 'Fri', 'shortTime of the last Friday');
  equal(dayName(on(2026, 11, 20, 23), now), 'Friday', 'dayName of the last Friday');
  matches(dayName(on(2026, 11, 18), now), /18/, 'dayName of a week ago');
  matches(dayName(on(2025, 11, 18), now), /2025/, 'dayName of last year');
  const weekAgo = shortTime(on(2026, 11, 18), now);
  assert.doesNotMatch(weekAgo, /26/, `shortTime of a week ago: got ${quote(weekAgo)}, want no year`);
  matches(shortTime(on(2025, 11, 18), now), /25/, 'shortTime of last year');
  assert.notEqual(dayName(now + 86_400_000, now), english.today, 'a time one day ahead, as of a wrong clock, must not be today');
});

test('both languages have the same texts with the same parameters', () => {
  const shape = (table) => Object.entries(table).map(([key, value]) =>
    typeof value === 'object' ? `${key}: ${Object.keys(value)}` : `${key}: ${typeof value} ${value.length >= 0 && typeof value === 'function' ? value.length : ''}`);
  same(shape(chinese), shape(english), 'keys and parameters in Chinese');
  for (const table of [english, chinese]) {
    for (const [key, value] of Object.entries(table)) {
      if (typeof value === 'function') assert.match(value('7', '7'), /7/, `text.${key}('7', '7') = ${quote(value('7', '7'))}, want its argument in it`);
      else if (typeof value === 'string') assert.notEqual(value.trim(), '', `text.${key} is empty`);
    }
  }
  equal(english.unread(1), '1 unread message', 'english.unread(1)');
  equal(english.unread(2), '2 unread messages', 'english.unread(2)');
});

test('the language is the first available one of the browser’s languages', () => {
  for (const [tags, name, tag] of [
    [['zh-CN', 'en'], 'zh', 'zh-CN'],
    [['fr', 'zh-Hant-TW', 'en'], 'zh', 'zh-Hant-TW'],
    [['en-GB', 'zh'], 'en', 'en-GB'],
    [['constructor', 'fr'], 'en', 'en'], // a property of every object
    [[], 'en', 'en'],
  ]) {
    same(choose(tags), { name, tag }, `choose(${quote(tags)})`);
  }
});

test('initials are of the first two words, or one Chinese character', () => {
  for (const [name, want] of [['anna', 'A'], ['Anna Lind', 'AL'], ['陈小明', '陈'], ['anna.lind', 'AL'], ['😀 x', '😀X'], ['  ', '?'], ['-', '?']]) {
    equal(initials(name), want, `initials(${quote(name)})`);
  }
});

test('every state of the connection is described', () => {
  same(describe({ name: 'online' }, 0), { tone: 'good', words: english.online }, 'online');
  equal(describe({ name: 'connecting', attempt: 0 }, 0).words, english.connecting, 'first attempt to connect');
  equal(describe({ name: 'connecting', attempt: 2 }, 0).words, english.reconnecting, 'third attempt to connect');
  equal(describe({ name: 'offline', retryAt: 4200 }, 1000).words, english.noConnection(4), 'offline, 3.2 s before the retry');
  equal(describe({ name: 'offline', retryAt: 4200 }, 9000).words, english.noConnection(1), 'offline, after the time of the retry');
  equal(describe({ name: 'offline', retryAt: 4200 }, 1000, false).words, english.noNetwork, 'offline, while the browser has no network');
  equal(describe({ name: 'resting' }, 0).words, english.resting, 'resting');
  equal(describe({ name: 'ended', reason: 'abuse' }, 0).again, true, 'ended: offer to connect again');
});
