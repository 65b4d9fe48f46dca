// Links in what people write. Only http and https, and only what says where it leads.

// Blanks, quotes and brackets end a link, and so does writing that does without
// blanks between words: in "看https://a.example/b这个" the link ends before 这.
const pattern = /\bhttps?:\/\/[^\s<>"'`{}|\\^\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u2018-\u201f\u2026\u3000-\u303f\uff00-\uffef]+/giu;

/** Takes words apart: pieces of { text } and { text, href }, which together are the words. */
export function pieces(words) {
  const all = [];
  let done = 0;
  for (const match of words.matchAll(pattern)) {
    const link = trim(match[0]);
    const href = address(link);
    if (!href) continue;
    if (match.index > done) all.push({ text: words.slice(done, match.index) });
    all.push({ text: link, href });
    done = match.index + link.length;
  }
  if (done < words.length) all.push({ text: words.slice(done) });
  return all;
}

/** Leaves out what ends the sentence rather than the link. */
function trim(link) {
  for (;;) {
    const last = link.at(-1);
    const open = { ')': '(', ']': '[' }[last];
    const alone = open && link.split(last).length > link.split(open).length;
    if (!alone && !'.,;:!?*_~'.includes(last)) return link;
    link = link.slice(0, -1);
  }
}

/** The address of a link; none where it isn't one, or hides its host behind a user name. */
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
