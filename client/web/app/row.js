// A row of the list: a conversation or a friend.

import { avatar } from './avatar.js';
import { full, shortTime } from './dates.js';
import { h } from './element.js';
import { cut } from './foreign.js';
import { icon } from './icons.js';
import { text } from './language.js';

const shown = 160; // characters of a message to show

/** Creates a conversation's row: name, last message, time, and unread count. */
export function conversationRow(shell, c, { open, now }) {
  const { chat, drafts } = shell;
  const name = shell.nameOf(c);
  const said = c.preview;
  const draft = c.key === open || c.unread ? '' : drafts.get(c.key);
  const typing = c.typists(now);
  const mine = said?.from === chat.me.id;
  let words = '';
  if (said) words = cut(said.text, shown).replace(/\s+/gu, ' ');
  else if (c.group) words = chat.group(c.group)?.description ?? '';

  let line;
  if (typing.length) line = h('span.preview.live', {}, text.typing);
  else if (draft) line = h('span.preview', {}, h('span.draft', {}, text.draft), ' ', h('bdi', {}, cut(draft, shown)));
  else {
    line = h('span.preview', { dir: 'auto' }, mine && !c.group && c.peer !== chat.me.id && said.mark !== 'failed' && h('span.hidden', {}, text.youSaid('')),
      c.group && said ? (mine ? text.youSaid(words) : text.said(said.name, words)) : words);
  }
  const mark = mine && c.peer !== chat.me.id && !typing.length && !draft && markOf(c, said);
  return h('a.row', { href: `#${c.key}`, draggable: 'false', 'aria-current': c.key === open && 'page', 'data-key': c.key },
    avatar(c.group || c.peer, name, { group: Boolean(c.group), state: c.peer && c.peer !== chat.me.id ? chat.friend(c.peer)?.state : undefined }),
    h('span.row-body', {},
      h('span.row-top', {},
        h('span.row-name', { dir: 'auto' }, c.peer === chat.me.id ? text.notes : name),
        said && h('time', { datetime: new Date(said.time).toISOString(), title: full(said.time) }, shortTime(said.time, now))),
      h('span.row-bottom', {},
        mark && h('span', { class: `mark ${mark}`, title: text[mark] }, icon(mark)),
        line,
        c.unread > 0 && c.key !== open && h('span.badge', { 'aria-label': text.unread(c.unread) }, c.unread > 999 ? '999+' : String(c.unread)))));
}

/** Returns the state of an own message: queued, sending, sent, read or failed. sending: it
 * isn't acknowledged yet. sent: the server has acknowledged it. */
export function markOf(c, message) {
  if (!message.seq) return message.mark;
  return c.peer && message.seq <= c.readByPeer ? 'read' : 'sent';
}

/** Creates a friend's row: name, and whether they are online. */
export function friendRow(friend, { open }) {
  const key = `u${friend.id}`;
  return h('a.row', { href: `#${key}`, draggable: 'false', 'aria-current': key === open && 'page', 'data-key': key },
    avatar(friend.id, friend.name, { state: friend.state }),
    h('span.row-body', {},
      h('span.row-top', {}, h('span.row-name', { dir: 'auto' }, friend.name)),
      h('span.row-bottom', {}, h('span.preview', {}, friend.state === 'online' ? text.online : text.offline))));
}
