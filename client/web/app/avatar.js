// A round picture of a user, a square one of a group: the first letters of the
// name on a colour that the id decides, so that everybody sees the same.

import { h } from './element.js';

const hues = 8; // as many as style/base.css has

/** The letters for a name: of two words, or one of a word in Chinese, Japanese or Korean. */
export function initials(name) {
  const words = name.trim().split(/[\s._-]+/u).filter(Boolean);
  if (!words.length) return '?';
  const first = [...words[0]][0];
  if (/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u.test(first) || words.length === 1) return first.toUpperCase();
  return (first + [...words[1]][0]).toUpperCase();
}

/** state: "online", "offline", or undefined where it isn't known. */
export function avatar(id, name, { group = false, state, large = false } = {}) {
  const classes = `avatar hue${id % hues}${group ? ' group' : ''}${large ? ' large' : ''}`;
  return h('span', { class: classes, 'aria-hidden': 'true' }, initials(name), state && h('span', { class: `presence ${state}` }));
}
