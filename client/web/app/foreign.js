// What other people write, such as their names, within our own texts.

const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}\p{Bidi_Control}]/u;

/** Returns words to be put into a text. If they could change the order of the text
 * beside them, they get isolates around them. */
export const isolate = (words) => (rightToLeft.test(words) ? `\u2068${words.replace(/\p{Bidi_Control}/gu, '')}\u2069` : words);

/** Returns the characters of words as people see them. Older browsers don't have
 * Intl.Segmenter: there they are code points. */
const characters = (words) => (Intl.Segmenter ? Array.from(new Intl.Segmenter().segment(words), (part) => part.segment) : [...words]);

/** Returns the first characters of words, most of them at most. */
export const cut = (words, most) => characters(words.slice(0, most * 20)).slice(0, most).join('');
