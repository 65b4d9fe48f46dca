// The language of the page: the first of the browser's that there is a table for.

const tables = { en: './english.js', zh: './chinese.js' };

/** Chooses among tags such as "zh-CN": the table's name, and the tag for dates and numbers. */
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

/** Everything that the page says. What depends on something is a function. */
export const { text } = await import(tables[chosen.name]);
