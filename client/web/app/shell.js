// The page of a logged-in user: list, conversation and details.

import { tomorrow } from './dates.js';
import { Drafts } from './drafts.js';
import { h } from './element.js';
import { isolate } from './foreign.js';
import { text } from './language.js';
import { Notifier } from './notifier.js';
import { Details } from './details.js';
import { Room } from './room.js';
import { Sidebar } from './sidebar.js';
import { announce, place } from './toasts.js';

export class Shell {
  #account;
  #stop = [];
  #element;
  #main = h('main', { id: 'main', tabindex: -1 });
  #sidebar;
  #room = null;
  #details = null;
  #resting = null;
  #midnight = 0;
  #announced = ''; // the last announced state of the connection

  constructor(account) {
    this.#account = account;
    this.chat = account.chat;
    this.drafts = new Drafts(this.chat.me.id);
    this.notifier = new Notifier(this.chat.me.id, (key) => this.go(key));
    this.#sidebar = new Sidebar(this, account);
    this.#element = h('div.shell', {}, this.#sidebar.element, this.#main);
    document.body.replaceChildren(h('a.skip', { href: '#main', onclick: (event) => {
      event.preventDefault();
      this.#main.focus();
    } }, text.skip), this.#element);
    place();

    const listen = (target, name, listener) => {
      target.addEventListener(name, listener);
      this.#stop.push(() => target.removeEventListener(name, listener));
    };
    listen(window, 'hashchange', () => this.#route());
    listen(window, 'keydown', (event) => this.#keys(event));
    listen(window, 'focus', () => this.#room?.seen());
    listen(document, 'visibilitychange', () => this.#room?.seen());
    for (const name of ['online', 'offline']) listen(window, name, () => account.changed.tell(account.state));

    this.#stop.push(
      account.changed.on((state) => this.#state(state)),
      this.chat.changed.on(() => this.#title()),
      this.chat.peopleChanged.on(() => this.#title()),
      this.chat.arrived.on((c, message) => this.#arrived(c, message)),
    );
    this.#route();
    this.#state(account.state);
    this.#newDay();
  }

  close() {
    for (const stop of this.#stop) stop();
    clearTimeout(this.#midnight);
    this.#room?.close();
    this.#details?.close();
    this.#sidebar.close();
    for (const dialog of document.querySelectorAll('dialog')) dialog.close();
    if (location.hash) history.replaceState(null, '', location.pathname);
  }

  /** The SDK client. Don't keep it: it changes when this tab takes over. */
  get client() {
    return this.#account.client;
  }

  get online() {
    return this.#account.state.name === 'online';
  }

  /** Returns the name of a conversation to show. */
  nameOf(c) {
    return this.chat.nameOf(c) || (c.group ? text.unknownGroup(c.group) : text.unknown(c.peer));
  }

  /** Returns why the user can't write to a group that they aren't in. */
  whyGone(c) {
    return c.failed?.name === 'notFound' ? text.groupDeleted : text.notMember;
  }

  /** Opens a conversation. Key "" closes the open one. name is used if it isn't known yet. */
  go(key, name) {
    if (key && name) this.chat.get(key).name ||= name;
    if (location.hash.slice(1) === key) this.#room?.focus();
    else location.hash = key;
  }

  toggleDetails(show = !this.#details) {
    if (!show || !this.#room) {
      const had = this.#details?.element.contains(document.activeElement);
      this.#details?.close();
      this.#details = null;
      if (had) this.#room?.detailsButton.focus();
    } else if (!this.#details) {
      this.#details = new Details(this, this.#room.conversation);
      this.#element.append(this.#details.element);
      this.#details.focus();
    }
    this.#room?.detailsButton.setAttribute('aria-expanded', String(Boolean(this.#details)));
    this.#element.classList.toggle('with-details', Boolean(this.#details));
  }

  #route() {
    const key = /^#[ug][1-9]\d{0,15}$/.test(location.hash) ? location.hash.slice(1) : '';
    if (this.#room && this.#room.conversation.key === key) return;
    const details = Boolean(this.#details) && matchMedia('(min-width: 1100px)').matches;
    this.#room?.close();
    this.toggleDetails(false);
    this.#room = null;
    if (key) {
      this.#room = new Room(this, this.#account, this.chat.get(key));
      this.#main.replaceChildren(this.#room.element);
    } else {
      this.#main.replaceChildren(h('div.empty', {},
        h('img', { src: '/icon.svg', alt: '', width: 64, height: 64 }),
        h('h1', {}, text.pick), h('p', {}, text.pickHint), h('p.quiet', {}, text.yourId(this.chat.me.id))));
    }
    this.#element.dataset.view = key ? 'room' : 'list';
    this.chat.show(key);
    this.#room?.start();
    if (details) this.toggleDetails(true);
    this.#room?.focus();
    this.#title();
  }

  #title() {
    const n = this.chat.unread;
    const c = this.#room?.conversation;
    document.title = `${n ? `(${n}) ` : ''}${c ? `${isolate(this.nameOf(c))} · ` : ''}${text.name}`;
  }

  #state(state) {
    const resting = state.name === 'resting';
    if (resting && !this.#resting) {
      this.#resting = h('div.resting', { role: 'alertdialog', 'aria-labelledby': 'resting', 'data-testid': 'resting' },
        h('div.card', {}, h('h2', { id: 'resting' }, text.resting), h('p', {}, text.restingHint),
          h('button.primary', { onclick: () => this.#account.take() }, text.useHere)));
      this.#element.inert = true;
      document.body.append(this.#resting);
      this.#resting.querySelector('button').focus();
    } else if (!resting && this.#resting) {
      this.#resting.remove();
      this.#resting = null;
      this.#element.inert = false;
      this.#room?.refresh();
    }
    // Announce changes between online and offline, not each attempt to connect.
    const word = state.name === 'online' ? text.online : state.name === 'offline' ? text.offline : '';
    if (word && word !== this.#announced && (this.#announced || state.name !== 'online')) announce(word);
    this.#announced = word || this.#announced;
  }

  #arrived(c, message) {
    const name = this.nameOf(c);
    const words = c.group ? text.said(message.name, message.text) : message.text;
    if (this.looking && this.chat.open === c.key) announce(text.said(message.name, message.text));
    else if (!message.backlog || this.chat.listRead) this.notifier.show(c.key, name, words);
  }

  /** Whether the page is visible and has the focus. */
  get looking() {
    return document.visibilityState === 'visible' && document.hasFocus();
  }

  /** Redraws dates such as "Today" after midnight. Hourly, as the clock can change. */
  #newDay() {
    this.#midnight = setTimeout(() => {
      this.#sidebar.refresh();
      this.#room?.refresh();
      this.#newDay();
    }, Math.min(tomorrow(Date.now()) - Date.now() + 500, 3_600_000));
  }

  #keys(event) {
    if (document.querySelector('dialog[open]') || event.isComposing) return;
    if ((event.ctrlKey || event.metaKey) && event.key === 'k') {
      event.preventDefault();
      this.#sidebar.search();
    } else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
      event.preventDefault();
      this.#sidebar.step(event.key === 'ArrowUp' ? -1 : 1);
    } else if (event.key === 'Escape') {
      if (this.#details) this.toggleDetails(false);
      else if (this.#room) this.go('');
    }
  }
}
