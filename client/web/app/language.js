// Selects the page's language: the first of the browser's languages that is available.

import { isolate } from './foreign.js';

const tables = { en: './english.js', zh: './chinese.js' };

/** Chooses the page's language. tags are the browser's language tags, such as "zh-CN".
 * Returns the name of the table of texts, and the tag for formatting dates and numbers. */
export function choose(tags) {
  for (const tag of tags) {
    const name = tag.toLowerCase().split('-')[0];
    if (Object.hasOwn(tables, name)) return { name, tag };
  }
  return { name: 'en', tag: 'en' };
}

const chosen = choose(globalThis.navigator?.languages ?? []);

export const language = chosen.name;
export const locale = chosen.tag;

/** All texts of the page. Texts with parameters are functions. */
const { text: table } = await import(tables[chosen.name]);
export const text = Object.fromEntries(Object.entries(table).map(([name, make]) => [name, make instanceof Function ? (...words) => make(...words.map(isolate)) : make]));
