// Finds links in messages: only http and https, and only if the text shows where
// the link goes.

// White space, quotes and brackets end a link. So do characters of languages that
// write without spaces: in "看https://a.example/b这个" the link ends before 这.
const pattern = /\bhttps?:\/\/[^\s<>"'`{}|\\^\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u2018-\u201f\u2026\u3000-\u303f\uff00-\uffef]+/giu;

// Links whose text shows where they go. In the host, no part mixes Latin with other
// letters, and only Chinese, Japanese and Korean letters are used besides Latin: others
// look too much like Latin. No character is invisible or changes the direction. Other
// links are shown as the URL they go to, which is ASCII.
const cjk = '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}';
const plain = new RegExp(`^https?://(([-\\w]+|[${cjk}]+)(\\.|(?=[/:?#]|$)))+(:\\d+)?(?![^/?#])[^\\p{DI}\\p{Bidi_C}]*$`, 'iu');

/** Splits words into pieces: { text }, and { text, href } for links. Only the first 100
 * links are parsed: thousands would delay the page. */
export function pieces(words) {
  const all = [];
  let done = 0;
  let left = 100;
  for (const match of words.matchAll(pattern)) {
    if (!left--) break;
    const link = trim(match[0]);
    const href = address(link);
    if (!href) continue;
    if (match.index > done) all.push({ text: words.slice(done, match.index) });
    all.push({ text: plain.test(link) ? link : href, href });
    done = match.index + link.length;
  }
  if (done < words.length) all.push({ text: words.slice(done) });
  return all;
}

/** Removes punctuation at the end that belongs to the sentence. A link may have
 * thousands of brackets, so they are counted only once. */
function trim(link) {
  const n = (c) => link.split(c).length;
  const alone = { ')': n(')') - n('('), ']': n(']') - n('[') };
  let end = link.length;
  while (alone[link[end - 1]]-- > 0 || '.,;:!?*_~'.includes(link[end - 1])) end--;
  return link.slice(0, end);
}

/** Returns a link's URL. Returns "" if it is invalid, or has a username, which could
 * disguise the host. */
function address(link) {
  const url = parse(link);
  if (!url || url.username || url.password || !url.hostname) return '';
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : '';
}

function parse(link) {
  try {
    return new URL(link);
  } catch {
    return null;
  }
}
