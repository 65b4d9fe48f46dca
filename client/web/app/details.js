// The panel with details of a user or group, and actions on them.

import { avatar } from './avatar.js';
import { ask } from './dialogs.js';
import { h, perFrame } from './element.js';
import { icon, iconButton } from './icons.js';
import { locale, text } from './language.js';
import { explain, toast } from './toasts.js';

export class Details {
  #shell;
  #conversation;
  #stop;
  #content = h('div.content');
  #members = null; // loaded members of a group too large for the SDK's lists: { users, more }
  #close = iconButton(text.close, 'close', () => this.#shell.toggleDetails(false));
  #print = '';

  constructor(shell, conversation) {
    this.#shell = shell;
    this.#conversation = conversation;
    this.element = h('aside.details', { 'aria-label': text.details }, h('header', {}, h('h2', {}, text.details), this.#close), this.#content);
    const render = perFrame(() => this.#render());
    this.#stop = [shell.chat.changed.on((key) => key === conversation.key && render()), shell.chat.peopleChanged.on(render)];
    this.#render();
    if (conversation.group) this.#readMembers();
  }

  focus() {
    this.#close.focus();
  }

  close() {
    for (const stop of this.#stop) stop();
    this.element.remove();
  }

  #render() {
    const c = this.#conversation;
    const { chat } = this.#shell;
    const print = JSON.stringify(c.group ? [chat.group(c.group), this.#members, c.gone, chat.friends, [...c.states]] : [chat.friend(c.peer), chat.blocked.has(c.peer), this.#shell.nameOf(c)]);
    if (print === this.#print) return;
    this.#print = print;
    const at = [...this.#content.querySelectorAll('button')].indexOf(document.activeElement);
    this.#content.replaceChildren(...(c.group ? this.#group(c) : this.#user(c)).filter(Boolean));
    if (at >= 0) ([...this.#content.querySelectorAll('button')][at] ?? this.#close).focus();
  }

  #user(c) {
    const { chat } = this.#shell;
    const own = c.peer === chat.me.id;
    const name = this.#shell.nameOf(c);
    const friend = chat.friend(c.peer);
    const blocked = chat.blocked.has(c.peer);
    const client = () => this.#shell.client;
    return [
      this.#head(avatar(c.peer, name, { state: friend?.state, large: true }), name, friend ? text[friend.state] : own ? text.notes : ''),
      this.#id(c.peer),
      !own && h('div.panel-actions', {},
        !friend && !blocked && this.#action('person', text.befriend, () => client().addFriend(c.peer).then(() => toast(text.friendAdded)), { errors: text.friendErrors }),
        friend && this.#action('bin', text.unfriend, () => ask(text.unfriendAsk(name), { hint: text.unfriendHint, action: text.unfriend, run: () => client().delFriend(c.peer) })),
        blocked
          ? this.#action('block', text.unblock, () => client().block(c.peer, false))
          : this.#action('block', text.block, () => ask(text.blockAsk(name), { hint: text.blockHint, action: text.block, run: () => client().block(c.peer, true) }), { danger: true })),
    ];
  }

  #group(c) {
    const { chat } = this.#shell;
    const name = this.#shell.nameOf(c);
    const group = chat.group(c.group);
    const head = this.#head(avatar(c.group, name, { group: true, large: true }), name, group && !c.gone ? group.description : this.#shell.whyGone(c));
    if (!group || c.gone) return [head, this.#id(c.group)];
    const { users, more } = group.users ? { users: group.users } : this.#members ?? { users: [], more: true };
    const collator = new Intl.Collator(locale);
    const sorted = users.map((user) => ({ ...user, state: chat.stateOf(c, user) })).sort((a, b) => (b.role === 'creator') - (a.role === 'creator') || (b.state === 'online') - (a.state === 'online') || collator.compare(a.name, b.name));
    const creator = users.some((user) => user.id === chat.me.id && user.role === 'creator');
    return [
      head,
      this.#id(c.group),
      h('h3', {}, `${text.memberList} · ${group.users ? users.length : group.count}`),
      h('ul.members', {}, sorted.map((user) => this.#member(c, user, creator))),
      more && h('button', { onclick: () => this.#readMembers() }, text.showMore),
      h('div.panel-actions', {}, creator
        ? this.#action('bin', text.deleteGroup, () => ask(text.deleteGroupAsk(name), { hint: text.deleteGroupHint, action: text.deleteGroup, errors: text.groupErrors, run: () => this.#shell.client.dismissGroup(c.group).then(() => this.#shell.go('')) }), { danger: true })
        : this.#action('leave', text.leave, () => ask(text.leaveAsk(name), { hint: text.leaveHint, action: text.leave, errors: text.groupErrors, run: () => this.#shell.client.leaveGroup(c.group).then(() => this.#shell.go('')) }), { danger: true })),
    ];
  }

  #head(picture, name, about) {
    return h('div.head', {}, picture, h('p.name', { dir: 'auto' }, name), about && h('p.quiet', { dir: 'auto' }, about));
  }

  #id(id) {
    return h('p.id', {}, h('span.quiet', {}, text.id), ' ', h('span.digits', {}, String(id)),
      iconButton(text.copy, 'copy', async () => {
        try {
          await navigator.clipboard.writeText(String(id));
          toast(text.copied);
        } catch {
          getSelection().selectAllChildren(this.#content.querySelector('.digits')); // no clipboard access: let the user copy it
        }
      }));
  }

  #member(c, user, creator) {
    const own = user.id === this.#shell.chat.me.id;
    return h('li', {},
      h('a.row', { href: `#u${user.id}`, onclick: () => (this.#shell.chat.get(`u${user.id}`).name ||= user.name) },
        avatar(user.id, user.name, { state: user.state }),
        h('span.row-body', {}, h('span.row-name', { dir: 'auto' }, own ? text.yourself(user.name) : user.name),
          h('span.preview', {}, [user.role === 'creator' && text.creator, text[user.state]].filter(Boolean).join(' · ')))),
      creator && !own && iconButton(text.kick(user.name), 'close', () =>
        ask(text.kickAsk(user.name), { hint: text.kickHint, action: text.kick(user.name), errors: text.kickErrors, run: async () => {
          await this.#shell.client.kickMember(c.group, user.id);
          if (this.#members) this.#members.users = this.#members.users.filter((other) => other.id !== user.id);
          this.#render();
        } })));
  }

  #action(picture, label, run, { danger = false, errors } = {}) {
    return h('button', { class: danger && 'danger', onclick: async () => {
      try {
        await run();
      } catch (error) {
        toast(explain(error, errors));
      }
    } }, icon(picture), label);
  }

  /** Loads the next page of members, if the SDK's lists don't have them. */
  async #readMembers() {
    if (this.#shell.chat.group(this.#conversation.group)?.users !== null) return;
    const known = this.#members?.users ?? [];
    try {
      const { users, more } = await this.#shell.client.groupUsers(this.#conversation.group, { after: known.at(-1)?.id ?? 0 });
      this.#members = { users: [...known, ...users], more };
      this.#render();
    } catch (error) {
      toast(explain(error, text.groupErrors));
    }
  }
}
