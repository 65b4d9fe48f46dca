// Tests of the modules that know no browser. Run by web_test.go in Berlin's
// time, whose days have 23 and 25 hours twice a year.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { initials } from '../app/avatar.js';
import { text as chinese } from '../app/chinese.js';
import { clock, dayName, dayOf, shortTime, tomorrow } from '../app/dates.js';
import { text as english } from '../app/english.js';
import { choose } from '../app/language.js';
import { pieces } from '../app/links.js';
import { lines } from '../app/runs.js';
import { describe } from '../app/status.js';

test('a text becomes the same text in pieces, and links lead to http and https alone', () => {
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
    ['https://bank.example@evil.example/', []], // it would read as another host
    ['xhttps://a.example', []],
    ['<https://a.example/><b>', ['https://a.example/']],
    ['https://a.example/"onclick="x', ['https://a.example/']],
  ];
  for (const [text, links] of cases) {
    const all = pieces(text);
    assert.equal(all.map((piece) => piece.text).join(''), text);
    assert.deepEqual(all.filter((piece) => piece.href).map((piece) => piece.text), links, text);
    for (const { href } of all) if (href) assert.match(href, /^https?:\/\//);
  }
});

test('a long text is taken apart in time that grows with it, not faster', () => {
  const text = 'https://a.example/' + '(.'.repeat(16_000);
  assert.equal(pieces(text).map((piece) => piece.text).join(''), text);
});

test('messages stand together by sender, by time and by day', () => {
  const at = new Date(2026, 2, 28, 23, 55).getTime();
  const said = (seq, from, minutes) => ({ seq, from, cid: `c${seq}`, time: at + minutes * 60_000 });
  const messages = [said(1, 1, 0), said(2, 1, 1), said(3, 2, 2), said(4, 2, 4), said(5, 2, 10), said(6, 1, 16)];
  const shape = (all) => all.map((line) => (line.kind === 'message' ? `${line.message.seq}${line.first ? 'f' : ''}${line.last ? 'l' : ''}` : line.kind));
  assert.deepEqual(shape(lines(messages, { me: 1 })), ['day', '1f', '2l', '3f', '4l', 'day', '5fl', '6fl']);
  assert.deepEqual(shape(lines(messages, { me: 1, unreadAfter: 3 })), ['day', '1f', '2l', '3fl', 'unread', '4fl', 'day', '5fl', '6fl']);
  assert.deepEqual(shape(lines(messages, { me: 2, unreadAfter: 2 })).indexOf('unread'), 7); // one's own are never new
  assert.deepEqual(lines([], { me: 1 }), []);
  const keys = lines([...messages, { from: 1, cid: 'waits', time: at }], { me: 1, unreadAfter: 1 }).map((line) => line.key);
  assert.equal(new Set(keys).size, keys.length);
});

test('an own message keeps its place in the page when it is stored', () => {
  const key = (message) => lines([message], { me: 1 }).at(-1).key;
  assert.equal(key({ from: 1, cid: 'a', time: 5 }), key({ from: 1, cid: 'a', time: 9, seq: 7 }));
});

test('days are those of the calendar, also where one has 23 or 25 hours', () => {
  for (const [month, day] of [[2, 29], [9, 25], [0, 1]]) {
    const noon = new Date(2026, month, day, 12).getTime();
    const before = new Date(2026, month, day - 1, 0, 30).getTime();
    assert.equal(dayName(noon, noon), english.today);
    assert.equal(dayName(before, noon), english.yesterday);
    assert.equal(dayName(new Date(2026, month, day, 0, 0, 1).getTime(), noon), english.today);
    assert.equal(new Date(tomorrow(noon)).getHours(), 0);
    assert.equal(new Date(tomorrow(noon)).getDate(), new Date(2026, month, day + 1).getDate());
    assert.equal(dayOf(noon), new Date(2026, month, day).getTime());
  }
});

test('a time is said as shortly as it is plain', () => {
  const now = new Date(2026, 10, 25, 12).getTime(); // a Wednesday
  assert.equal(shortTime(now - 60_000, now), clock(now - 60_000));
  assert.equal(shortTime(new Date(2026, 10, 24, 23).getTime(), now), english.yesterday);
  assert.equal(shortTime(new Date(2026, 10, 20, 23).getTime(), now), 'Fri');
  assert.equal(dayName(new Date(2026, 10, 20, 23).getTime(), now), 'Friday');
  assert.match(dayName(new Date(2026, 10, 18).getTime(), now), /18/);
  assert.match(dayName(new Date(2025, 10, 18).getTime(), now), /2025/);
  assert.doesNotMatch(shortTime(new Date(2026, 10, 18).getTime(), now), /26/);
  assert.match(shortTime(new Date(2025, 10, 18).getTime(), now), /25/);
  assert.notEqual(dayName(now + 86_400_000, now), english.today); // a clock that is behind
});

test('both languages say the same things, of the same', () => {
  const shape = (table) => Object.entries(table).map(([key, value]) =>
    typeof value === 'object' ? `${key}: ${Object.keys(value)}` : `${key}: ${typeof value} ${value.length >= 0 && typeof value === 'function' ? value.length : ''}`);
  assert.deepEqual(shape(chinese), shape(english));
  for (const table of [english, chinese]) {
    for (const value of Object.values(table)) {
      if (typeof value === 'function') assert.match(value('7', '7'), /7/);
      else if (typeof value === 'string') assert.notEqual(value.trim(), '');
    }
  }
  assert.equal(english.unread(1), '1 unread message');
  assert.equal(english.unread(2), '2 unread messages');
});

test('the language is the first of the browser’s that there is', () => {
  assert.deepEqual(choose(['zh-CN', 'en']), { name: 'zh', tag: 'zh-CN' });
  assert.deepEqual(choose(['fr', 'zh-Hant-TW', 'en']), { name: 'zh', tag: 'zh-Hant-TW' });
  assert.deepEqual(choose(['en-GB', 'zh']), { name: 'en', tag: 'en-GB' });
  assert.equal(choose(['constructor', 'fr']).name, 'en');
  assert.equal(choose([]).name, 'en');
});

test('initials', () => {
  for (const [name, want] of [['anna', 'A'], ['Anna Lind', 'AL'], ['陈小明', '陈'], ['anna.lind', 'AL'], ['😀 x', '😀X'], ['  ', '?'], ['-', '?']]) {
    assert.equal(initials(name), want, name);
  }
});

test('every state of the connection has its words', () => {
  assert.deepEqual(describe({ name: 'online' }, 0), { tone: 'good', words: english.online });
  assert.equal(describe({ name: 'connecting', attempt: 0 }, 0).words, english.connecting);
  assert.equal(describe({ name: 'connecting', attempt: 2 }, 0).words, english.reconnecting);
  assert.equal(describe({ name: 'offline', retryAt: 4200 }, 1000).words, english.noConnection(4));
  assert.equal(describe({ name: 'offline', retryAt: 4200 }, 9000).words, english.noConnection(1));
  assert.equal(describe({ name: 'offline', retryAt: 4200 }, 1000, false).words, english.youAreOffline);
  assert.equal(describe({ name: 'resting' }, 0).words, english.resting);
  assert.equal(describe({ name: 'ended', reason: 'abuse' }, 0).again, true);
});
