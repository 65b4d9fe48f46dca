// Avatars: round for users, square for groups. They show the name's initials. The
// color depends on the ID, so that it is the same for everyone.

import { h } from './element.js';
import { cut } from './foreign.js';

const hues = 8; // the number of hues in style/base.css

/** Returns the initials of the first two words, or only the first character of names in
 * Chinese, Japanese or Korean. */
export function initials(name) {
  const words = name.trim().split(/[\s._-]+/u).filter(Boolean);
  if (!words.length) return '?';
  const first = cut(words[0], 1);
  if (/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u.test(first) || words.length === 1) return first.toUpperCase();
  return (first + cut(words[1], 1)).toUpperCase();
}

/** state is "online", "offline", or undefined if it isn't known. */
export function avatar(id, name, { group = false, state, large = false } = {}) {
  const classes = `avatar hue${id % hues}${group ? ' group' : ''}${large ? ' large' : ''}`;
  return h('span', { class: classes, 'aria-hidden': 'true' }, initials(name), state && h('span', { class: `presence ${state}` }));
}
