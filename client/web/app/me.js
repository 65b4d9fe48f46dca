// Dialogs for the user's own account: change the password, log out.

import { ask, field, form } from './dialogs.js';
import { h } from './element.js';
import { text } from './language.js';
import { toast } from './toasts.js';

export function changePassword(account) {
  const box = (autocomplete) => h('input', { type: 'password', autocomplete, required: true, maxlength: 256 });
  const old = box('current-password');
  const next = box('new-password');
  form(text.changePassword, {
    content: [field(text.oldPassword, old), field(text.newPassword, next, text.passwordHint)],
    action: text.save,
    submit: async () => {
      if (!old.value) throw text.enterOldPassword;
      const length = [...next.value].length;
      if (length < 6 || length > 128) throw text.passwordRule;
      try {
        await account.client.changePassword(old.value, next.value);
      } catch (error) {
        if (error.name === 'badRequest') throw text.commonPassword;
        throw error.name === 'refused' ? text.wrongPassword : error;
      }
      toast(text.passwordChanged);
      return true;
    },
  });
}

export function logOut(account) {
  const waiting = account.client?.pending.length ?? 0;
  ask(text.logOutAsk, {
    hint: waiting ? text.logOutLoses(waiting) : text.logOutHint,
    action: text.logOut,
    run: () => account.logout(),
  });
}
