// The sidebar: the user, the connection, and the list of conversations or friends.

import { add } from './add.js';
import { avatar } from './avatar.js';
import { arrange, h, perFrame, set } from './element.js';
import { icon } from './icons.js';
import { locale, text } from './language.js';
import { menuButton } from './menu.js';
import { changePassword, logOut } from './me.js';
import { conversationRow, friendRow } from './row.js';
import { Status } from './status.js';

export class Sidebar {
  #shell;
  #status;
  #stop;
  #tab = 'chats';
  #tabs = {};
  #list = h('ul.rows', { onkeydown: (event) => this.#keys(event) });
  #input = h('input', { type: 'search', placeholder: text.search, 'aria-label': text.search, autocomplete: 'off', spellcheck: 'false', title: 'Ctrl+K',
    oninput: () => this.refresh(), onkeydown: (event) => this.#searchKeys(event) });
  #rows = new Map(); // key to { item, print }: a row is redrawn only if its print has changed
  #order = []; // keys in the order shown
  refresh = perFrame(() => this.#render());

  constructor(shell, account) {
    this.#shell = shell;
    const { me } = shell.chat;
    this.#status = new Status(account);
    const tab = (name, label) => {
      this.#tabs[name] = h('button', { 'aria-pressed': 'false', onclick: () => this.#choose(name) }, label);
      return this.#tabs[name];
    };
    this.element = h('nav.sidebar', { 'aria-label': text.chatsAndFriends },
      h('header', {},
        avatar(me.id, me.name),
        h('div.me', {}, h('span.row-name', { dir: 'auto', title: text.yourId(me.id) }, me.name), this.#status.element),
        menuButton(text.add, 'add', () => [
          { label: text.findPeople, icon: 'person', run: () => add.person(shell) },
          { label: text.newGroup, icon: 'people', run: () => add.group(shell) },
          { label: text.joinGroup, icon: 'enter', run: () => add.join(shell) },
        ]),
        menuButton(text.menu, 'more', () => [
          text.yourId(me.id),
          { label: shell.notifier.on ? text.notifyOff : text.notifyOn, icon: 'bell', run: () => shell.notifier.toggle() },
          { label: text.changePassword, icon: 'key', run: () => changePassword(account) },
          { label: text.logOut, icon: 'leave', run: () => logOut(account) },
        ])),
      h('div.search', {}, icon('search'), this.#input),
      h('div.tabs', { role: 'group', 'aria-label': text.chatsAndFriends }, tab('chats', text.chats), tab('friends', text.friends)),
      this.#list);
    this.#stop = [shell.chat.changed.on(this.refresh), shell.chat.peopleChanged.on(this.refresh)];
    this.#choose('chats');
    this.#render();
  }

  close() {
    this.#status.close();
    for (const stop of this.#stop) stop();
  }

  search() {
    this.#input.focus();
    this.#input.select();
  }

  /** Opens the next (by = 1) or previous (by = -1) conversation of the list. */
  step(by) {
    const at = this.#order.indexOf(this.#shell.chat.open);
    const key = this.#order[at < 0 ? 0 : Math.min(Math.max(at + by, 0), this.#order.length - 1)];
    if (key) this.#shell.go(key);
  }

  #choose(tab) {
    this.#tab = tab;
    for (const [name, button] of Object.entries(this.#tabs)) set(button, { 'aria-pressed': String(name === tab) });
    this.#rows.clear();
    this.refresh();
  }

  #render() {
    const { chat } = this.#shell;
    const words = this.#input.value.trim().toLocaleLowerCase();
    const matches = (name, id) => !words || name.toLocaleLowerCase().includes(words) || String(id) === words;
    const now = Date.now();
    const { open } = chat;
    const made = [];
    this.#order = [];
    const show = (key, print, make) => {
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, (row = { item: h('li'), print: '' }));
      if (row.print !== print) {
        const focused = row.item.contains(document.activeElement);
        row.item.replaceChildren(make());
        if (focused) row.item.firstChild.focus();
        row.print = print;
      }
      made.push(row.item);
      if (key) this.#order.push(key);
    };

    if (this.#tab === 'friends' && !words) {
      const collator = new Intl.Collator(locale);
      const friends = [...chat.friends].sort((a, b) => (b.state === 'online') - (a.state === 'online') || collator.compare(a.name, b.name));
      for (const friend of friends) {
        show(`u${friend.id}`, JSON.stringify([friend, open === `u${friend.id}`]), () => friendRow(friend, { open }));
      }
      if (!friends.length && chat.listRead) made.push(this.#hint(text.noFriends, text.noFriendsHint));
    } else {
      const list = chat.list;
      const seen = new Set();
      for (const c of list) {
        const name = this.#shell.nameOf(c);
        if (!matches(c.peer === chat.me.id ? `${text.notes} ${name}` : name, c.peer || c.group)) continue;
        seen.add(c.key);
        show(c.key, JSON.stringify([name, c.preview, c.unread, c.readByPeer, c.key === open, c.typists(now), this.#shell.drafts.get(c.key),
          c.peer && chat.friend(c.peer)?.state, c.group && chat.group(c.group)?.description, new Date(now).getDate()]),
        () => conversationRow(this.#shell, c, { open, now }));
      }
      if (words) {
        for (const friend of chat.friends) {
          if (!seen.has(`u${friend.id}`) && matches(friend.name, friend.id)) show(`u${friend.id}`, JSON.stringify(friend), () => friendRow(friend, { open }));
        }
        if (!made.length) made.push(h('li.hint', {}, h('p', {}, text.noMatch)));
        made.push(h('li', {}, h('button.row.find', { onclick: () => add.person(this.#shell, this.#input.value.trim()) }, icon('search'), h('span.row-name', {}, text.searchFor(this.#input.value.trim())))));
      } else if (!list.length && chat.listRead) {
        made.push(this.#hint(text.noChats, text.noChatsHint));
      }
    }
    arrange(this.#list, made);
  }

  #hint(title, words) {
    return h('li.hint', {}, h('h2', {}, title), h('p', {}, words),
      h('button', { onclick: () => add.person(this.#shell) }, text.findPeople));
  }

  #searchKeys(event) {
    if (event.isComposing) return;
    if (event.key === 'ArrowDown') this.#list.querySelector('.row')?.focus();
    else if (event.key === 'Enter') {
      this.#list.querySelector('.row')?.click();
      this.#input.value = '';
      this.refresh();
    } else if (event.key === 'Escape' && this.#input.value) {
      this.#input.value = '';
      this.refresh();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #keys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const rows = [...this.#list.querySelectorAll('.row')];
    const at = rows.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) this.#input.focus();
    else rows[Math.min(to, rows.length - 1)]?.focus();
  }
}
