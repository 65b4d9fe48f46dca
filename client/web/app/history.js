// The scrolling list of a conversation's messages. The scroll position counts from
// the end (style/room.css: column-reverse). So the list stays at the end when new
// messages arrive, and keeps its position when older ones are inserted.

import { showMessage } from './bubble.js';
import { dayName } from './dates.js';
import { arrange, h, perFrame } from './element.js';
import { icon } from './icons.js';
import { text } from './language.js';
import { lines } from './runs.js';

const ahead = 1500; // load older messages within this many pixels of the top
const block = 40; // messages in a block: the browser lays out only visible blocks
const nearEnd = 80; // the user is at the end within this many pixels of it

export class History {
  element;
  #shell;
  #conversation;
  #atEnd;
  #begin = h('div.begin');
  #list = h('div.messages');
  #blocks = new Map(); // number of a block to its ol element
  #column = h('div.column', {}, this.#begin, this.#list);
  #scroller = h('div.history', { tabindex: 0, role: 'region', 'aria-label': text.messages, 'data-testid': 'history' }, this.#column);
  #toEnd = h('button.to-end', { hidden: true, onclick: () => this.toEnd() });
  #items = new Map(); // key of a line to its li element
  // The separator for new messages comes after this seq. Undefined until known.
  #unreadAfter;
  #seenTo = 0; // last seq when the user was at the end
  #begun = false; // messages were rendered at least once
  #reading = false;
  render = perFrame(() => this.#render());

  /** atEnd() is called whenever the end is visible. */
  constructor(shell, conversation, atEnd) {
    this.#shell = shell;
    this.#conversation = conversation;
    this.#atEnd = atEnd;
    if (shell.chat.listRead) this.#placeSeparator();
    this.element = h('div.history-holder', {}, this.#scroller, this.#toEnd);
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
  }

  get atEnd() {
    return -this.#scroller.scrollTop < nearEnd;
  }

  toEnd() {
    this.#scroller.scrollTop = 0;
    this.#scroller.focus({ preventScroll: true });
  }

  /** Scrolls to the end after a send. Leaves the focus where it is. */
  jump() {
    this.#scroller.scrollTop = 0;
  }

  #scrolled() {
    this.#button();
    if (this.atEnd) this.#atEnd();
    this.#readMore();
  }

  async #readMore() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    if (this.#reading || scrollHeight + scrollTop - clientHeight > ahead) return;
    const c = this.#conversation;
    if (!c.messages.length || !c.more || c.failed) return;
    this.#reading = true;
    const found = await this.#shell.chat.readBefore(c);
    // Check again after layout whether that was enough.
    requestAnimationFrame(() => {
      this.#reading = false;
      if (found) this.#readMore();
    });
  }

  #button() {
    const c = this.#conversation;
    if (this.atEnd) this.#seenTo = c.last;
    const unseen = c.messages.filter((message) => message.seq > this.#seenTo && message.from !== this.#shell.chat.me.id).length;
    const away = -this.#scroller.scrollTop > 400;
    this.#toEnd.hidden = !away && !(unseen && !this.atEnd);
    const words = unseen ? text.toNew(unseen) : text.toEnd;
    if (this.#toEnd.title === words) return;
    this.#toEnd.title = words;
    this.#toEnd.setAttribute('aria-label', words);
    this.#toEnd.replaceChildren(icon('down'), ...(unseen ? [h('span.badge', {}, String(unseen))] : []));
  }

  #render() {
    const c = this.#conversation;
    const { chat } = this.#shell;
    if (this.atEnd) c.trim();
    if (this.#unreadAfter === undefined && chat.listRead) this.#placeSeparator();
    const now = Date.now();
    const context = {
      me: chat.me.id,
      conversation: c,
      again: (message) => chat.again(c, message),
      discard: (message) => chat.discard(c, message),
    };
    const kept = new Map();
    const blocks = new Map();
    let heads = []; // separators above the next message
    let number = 0;
    for (const line of lines([...c.messages, ...c.waiting], { me: chat.me.id, unreadAfter: this.#unreadAfter })) {
      const item = this.#items.get(line.key) ?? h('li');
      kept.set(line.key, item);
      heads.push(item);
      if (line.kind !== 'message') {
        this.#separator(item, line, now);
        continue;
      }
      showMessage(item, line, context);
      if (line.message.seq) number = Math.floor(line.message.seq / block);
      if (!blocks.has(number)) blocks.set(number, []);
      blocks.get(number).push(...heads);
      heads = [];
    }
    this.#items = kept;
    const before = CSS.supports('overflow-anchor', 'auto') ? null : this.#anchor();
    const lists = [...blocks].map(([number, items]) => {
      const list = this.#blocks.get(number) ?? h('ol', { 'aria-label': text.messages });
      this.#blocks.set(number, list);
      arrange(list, items);
      return list;
    });
    arrange(this.#list, lists);
    for (const number of this.#blocks.keys()) if (!blocks.has(number)) this.#blocks.delete(number);
    this.#toUnread();
    if (before) this.#scroller.scrollTop += before.item.getBoundingClientRect().top - before.top;
    this.#beginning();
    this.#button();
    if (this.atEnd) this.#atEnd();
    this.#readMore();
  }

  /** On the first render, scrolls to the first unread message if it is above the view. */
  #toUnread() {
    if (this.#begun || !this.#conversation.messages.length) return;
    this.#begun = true;
    const line = this.#items.get('unread');
    const above = line ? this.#scroller.getBoundingClientRect().top - line.getBoundingClientRect().top : 0;
    if (above > 0) this.#scroller.scrollTop -= above + 40;
  }

  /** Sets where the separator for new messages is, once per visit. */
  #placeSeparator() {
    const c = this.#conversation;
    this.#unreadAfter = c.unread ? Math.max(c.read, c.first - 1) : Infinity;
    this.#seenTo = c.last;
  }

  #separator(item, { kind, time }, now) {
    const words = kind === 'day' ? dayName(time, now) : text.newMessages;
    if (item.textContent === words) return;
    item.className = kind;
    item.replaceChildren(h('span', {}, words));
  }

  /** Returns the topmost visible line and its position, for browsers without scroll anchoring. */
  #anchor() {
    if (this.atEnd) return null;
    const { top } = this.#scroller.getBoundingClientRect();
    for (const item of this.#items.values()) {
      const box = item.getBoundingClientRect();
      if (box.bottom > top) return { item, top: box.top };
    }
    return null;
  }

  #beginning() {
    const c = this.#conversation;
    const empty = !c.messages.length && !c.waiting.length;
    const { me, blocked } = this.#shell.chat;
    let words;
    if (c.failed && this.#shell.online && !c.gone) words = c.failed.name === 'notFound' ? text.errors.notFound : text.loadFailed;
    else if (c.more || (empty && !c.shown)) words = text.loading;
    else if (!empty) words = text.beginning;
    else if (c.peer === me.id) words = text.notesHint;
    else if (c.gone || blocked.has(c.peer)) words = text.nothingYet;
    else words = c.group ? text.beFirst : text.sayHello(this.#shell.nameOf(c));
    const state = words === text.loading ? 'loading' : empty ? 'nothing' : 'beginning';
    if (this.#begin.textContent === words && this.#begin.dataset.state === state) return;
    this.#begin.dataset.state = state;
    this.#begin.replaceChildren(h('p', {}, words),
      ...(words === text.loadFailed ? [h('button', { onclick: () => {
        c.failed = null;
        if (c.messages.length) this.#readMore();
        else this.#shell.chat.show(c.key);
      } }, text.tryAgain)] : []));
  }
}
