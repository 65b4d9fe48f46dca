// The open conversation: header, messages and input field.

import { avatar } from './avatar.js';
import { Composer } from './composer.js';
import { h, perFrame } from './element.js';
import { History } from './history.js';
import { icon, iconButton } from './icons.js';
import { text } from './language.js';
import { Status } from './status.js';
import { explain, toast } from './toasts.js';

export class Room {
  #shell;
  #account;
  #stop;
  #status;
  #history;
  #composer = null;
  #picture = h('span');
  #name = h('h1', { dir: 'auto' });
  #about = h('p.about');
  #foot = h('div.foot');
  #footKind = '';
  refresh = perFrame(() => this.#render());

  constructor(shell, account, conversation) {
    this.#shell = shell;
    this.#account = account;
    this.conversation = conversation;
    this.#status = new Status(account);
    this.#history = new History(shell, conversation, () => this.seen());
    this.detailsButton = iconButton(text.details, 'info', () => shell.toggleDetails(), { 'aria-expanded': 'false' });
    this.element = h('section.room', {},
      h('header', {},
        h('a.icon-button.back', { href: '#', 'aria-label': text.back, title: text.back }, icon('back')),
        this.#picture, h('div.who', {}, this.#name, this.#about), this.detailsButton),
      this.#status.element,
      this.#history.element,
      this.#foot);
    this.#stop = [
      shell.chat.changed.on((key) => (key === conversation.key || !key) && this.refresh()),
      shell.chat.peopleChanged.on(this.refresh),
      account.changed.on(this.refresh),
    ];
    this.#render();
  }

  /** Must be called when the element has been added to the page. */
  start() {
    this.#composer?.placed();
  }

  close() {
    this.#status.close();
    for (const stop of this.#stop) stop();
  }

  focus() {
    if (this.#composer && !matchMedia('(pointer: coarse)').matches) this.#composer.focus();
  }

  /** Marks the conversation as read if the page has the focus and the end is visible. */
  seen() {
    if (!this.element.isConnected || !this.#shell.looking || !this.#history.atEnd) return;
    this.#shell.chat.markRead(this.conversation);
    this.#shell.notifier.clear(this.conversation.key);
  }

  #render() {
    const c = this.conversation;
    const { chat } = this.#shell;
    const own = c.peer === chat.me.id;
    const name = own ? text.notes : this.#shell.nameOf(c);
    const state = c.peer && !own ? chat.friend(c.peer)?.state : undefined;
    this.element.setAttribute('aria-label', own ? name : text.chatWith(name));
    if (this.#name.textContent !== name || this.#picture.dataset.state !== String(state)) {
      this.#name.textContent = name;
      this.#picture.dataset.state = String(state);
      this.#picture.replaceChildren(avatar(c.group || c.peer, name, { group: Boolean(c.group), state }));
    }
    const about = this.#aboutIt(state);
    if (this.#about.textContent !== about) this.#about.textContent = about;
    this.#about.classList.toggle('live', c.typists(Date.now()).length > 0);
    this.#footer(name);
    this.#history.render();
  }

  /** Returns the line below the name: who is typing, or who is online. */
  #aboutIt(state) {
    const c = this.conversation;
    const typing = c.typists(Date.now());
    if (typing.length) return c.peer ? text.typing : typing.length === 1 ? text.isTyping(typing[0]) : text.areTyping(typing.length);
    if (c.peer) return c.deleted ? text.accountDeleted : state ? text[state] : '';
    const group = this.#shell.chat.group(c.group);
    if (!group) return '';
    if (!group.users) return text.members(group.count);
    return text.membersOnline(group.users.length, group.users.filter((user) => this.#shell.chat.stateOf(c, user) === 'online').length);
  }

  /** Shows the input field, or why the user can't write here. */
  #footer(name) {
    const c = this.conversation;
    const { chat } = this.#shell;
    const closed = c.gone ? this.#shell.whyGone(c) : c.peer && c.deleted && text.accountDeleted;
    const kind = closed ? `gone ${closed}` : chat.blocked.has(c.peer) ? 'blocked' : `write ${name}`;
    if (kind === this.#footKind) return;
    this.#footKind = kind;
    this.#composer = null;
    if (closed) {
      this.#foot.replaceChildren(h('p.closed', {}, closed));
    } else if (kind === 'blocked') {
      this.#foot.replaceChildren(h('p.closed', {}, text.isBlocked(name), ' ', h('button.link', { onclick: () =>
        this.#shell.client.block(c.peer, false).catch((error) => toast(explain(error))) }, text.unblock)));
    } else {
      this.#composer = new Composer({
        label: c.peer === chat.me.id ? text.writeNote : text.write(name),
        draft: this.#shell.drafts.get(c.key),
        typed: (words) => this.#shell.drafts.set(c.key, words),
        typing: () => c.peer !== chat.me.id && chat.typing(c.key),
        send: (words) => {
          chat.send(c.key, words);
          this.#history.jump();
        },
      });
      this.#foot.replaceChildren(this.#composer.element);
      this.#composer.placed();
    }
  }
}
