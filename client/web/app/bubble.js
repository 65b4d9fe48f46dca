// One message of a conversation.

import { avatar } from './avatar.js';
import { clock, full } from './dates.js';
import { h, set } from './element.js';
import { icon } from './icons.js';
import { text } from './language.js';
import { pieces } from './links.js';
import { markOf } from './row.js';
import { explain } from './toasts.js';

const emoji = /^(?:\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f\u200d\p{Extended_Pictographic}]*){1,3}$/u;

/** Creates a message's text, with its links. */
function body(words) {
  const classes = words.length < 40 && emoji.test(words) ? 'text emoji' : 'text';
  return h('p', { class: classes, dir: 'auto' }, pieces(words).map((piece) =>
    piece.href ? h('a', { href: piece.href, dir: 'ltr', target: '_blank', rel: 'noopener noreferrer' }, piece.text) : piece.text));
}

/** Renders a message line of runs.js into item, an li. Does nothing if nothing has
 * changed since the last call. */
export function showMessage(item, { message, first, last }, { me, conversation, again, discard }) {
  const mine = message.from === me;
  const mark = mine ? (conversation.peer === me ? (message.seq ? '' : message.mark) : markOf(conversation, message)) : '';
  const print = `${message.seq} ${message.time} ${first} ${last} ${mark} ${message.error?.name ?? ''}`;
  if (item.dataset.print === print) return;
  const had = item.contains(document.activeElement);
  item.dataset.print = print;
  item.className = ['message', mine ? 'mine' : 'theirs', first && 'first', last && 'last', mark].filter(Boolean).join(' ');
  set(item, { 'data-seq': message.seq, 'data-mark': mark || null });

  const named = !mine && conversation.group > 0 && first;
  const author = h('span', { class: named ? `author hue${message.from % 8}` : 'hidden', dir: 'auto' }, ...(mine ? [text.youSaid('')] : [message.gone ? text.goneName(message.name) : message.name, h('span.hidden', {}, text.said('', ''))]));
  const sent = new Date(message.time);
  item.replaceChildren(
    ...(!mine && conversation.group ? [last ? avatar(message.from, message.name) : h('span.avatar.none')] : []),
    h('div.bubble', {}, author, body(message.text),
      h('span.meta', {},
        h('time', { datetime: sent.toISOString(), title: full(message.time) }, clock(message.time)),
        mark && h('span', { class: `mark ${mark}`, role: 'img', 'aria-label': text[mark], title: text[mark] }, icon(mark)))),
    ...(mark === 'failed' || mark === 'queued' ? [h('div.actions', {},
      mark === 'failed' && h('span.why', {}, text.failedBecause(explain(message.error, conversation.group ? text.groupErrors : text.messageErrors))),
      mark === 'failed' && h('button.link', { onclick: () => again(message) }, text.tryAgain),
      h('button.link', { onclick: () => discard(message) }, text.deleteMessage))] : []));
  if (had) item.closest('.history')?.focus();
}
