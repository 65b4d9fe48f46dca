// Dialogs: find people, create a group, join a group.

import { avatar } from './avatar.js';
import { field, form } from './dialogs.js';
import { h } from './element.js';
import { text } from './language.js';
import { explain, toast } from './toasts.js';

const box = (properties) => h('input', { type: 'text', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...properties });

/** Finds a user by username or ID, to message them or add them as a friend. */
function person(shell, words = '') {
  const { chat } = shell;
  const input = box({ value: words, maxlength: 60 });
  const result = h('div.result', { 'aria-live': 'polite' });
  const find = async () => {
    const name = input.value.trim();
    if (!name) throw text.findPeopleHint;
    result.replaceChildren();
    let user;
    try {
      user = await shell.client.findUser(name);
    } catch (error) {
      throw error.name === 'notFound' || error.name === 'badRequest' ? text.notFound : error;
    }
    const friend = chat.friend(user.id);
    const write = h('button', { onclick: () => {
      dialog.close();
      shell.go(`u${user.id}`, user.name);
    } }, text.message);
    const befriend = h('button.primary', { onclick: async () => {
      try {
        await shell.client.addFriend(user.id);
        befriend.replaceWith(h('span.quiet', {}, text.friendAdded));
        write.focus();
      } catch (error) {
        toast(explain(error, text.friendErrors));
      }
    } }, text.befriend);
    result.replaceChildren(h('div.found', {},
      avatar(user.id, user.name, { state: friend?.state }),
      h('span.row-body', {}, h('span.row-name', { dir: 'auto' }, user.name), h('span.preview', {}, `${text.id} ${user.id}`)),
      write, user.id === chat.me.id || friend ? null : befriend));
    (friend || user.id === chat.me.id ? write : befriend).focus();
    return false;
  };
  const dialog = form(text.findPeople, { content: [field(text.nameOrId, input, text.findPeopleHint), result], action: text.find, submit: find });
  if (words) dialog.querySelector('form').requestSubmit();
}

/** Creates a group. */
function group(shell) {
  const name = box({ maxlength: 50 });
  const about = box({ maxlength: 200, placeholder: text.groupAboutHint });
  form(text.newGroup, {
    content: [field(text.groupName, name), field(text.groupAbout, about)],
    action: text.create,
    errors: text.createErrors,
    submit: async () => {
      const groupName = name.value.trim();
      if (!groupName || /^\d+$/.test(groupName)) throw text.groupNameRule;
      const id = await shell.client.createGroup(groupName, about.value.trim());
      toast(text.groupMade(id));
      return () => shell.go(`g${id}`, groupName);
    },
  });
}

/** Joins a group by its ID. Opens it if the user is already a member. */
function join(shell) {
  const input = box({ inputmode: 'numeric', maxlength: 16 });
  form(text.joinGroup, {
    content: [field(text.groupId, input, text.joinHint)],
    action: text.join,
    errors: text.joinErrors,
    submit: async () => {
      const id = input.value.trim();
      if (!/^[1-9]\d*$/.test(id)) throw text.notAnId;
      try {
        const { name } = await shell.client.joinGroup(Number(id));
        return () => shell.go(`g${id}`, name);
      } catch (error) {
        if (error.name !== 'already') throw error;
        return () => shell.go(`g${id}`);
      }
    },
  });
}

export const add = { person, group, join };
