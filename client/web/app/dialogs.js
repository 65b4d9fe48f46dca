// Modal dialogs: forms and confirmations.

import { h, set } from './element.js';
import { iconButton } from './icons.js';
import { text } from './language.js';
import { explain } from './toasts.js';

/** Opens a dialog with a form and returns it. content has the form's elements.
 * submit() is called when the user submits the form. If it throws a string or an error,
 * the dialog shows it. If it returns true or a function, the dialog closes; the function
 * is called afterwards, when the focus is back where it was before. errors: see explain. */
export function form(title, { content, action, danger = false, submit, errors }) {
  const error = h('p.error', { role: 'alert' });
  const ok = h(danger ? 'button.primary.danger' : 'button.primary', { type: 'submit' }, action);
  let busy = false;
  const dialog = h('dialog', { 'aria-labelledby': 'dialog-title', onclose: () => dialog.remove(), onpointerdown: ({ target }) => target === dialog && dialog.close() },
    h('form', { novalidate: true, onsubmit: async (event) => {
      event.preventDefault();
      if (busy) return;
      busy = true;
      error.textContent = '';
      set(ok, { 'aria-disabled': 'true' });
      try {
        const then = await submit();
        if (then) dialog.close();
        if (then instanceof Function) then();
      } catch (problem) {
        error.textContent = typeof problem === 'string' ? problem : explain(problem, errors);
      } finally {
        busy = false;
        set(ok, { 'aria-disabled': null });
      }
    } },
    h('header', {}, h('h2', { id: 'dialog-title' }, title),
      iconButton(text.close, 'close', () => dialog.close())),
    ...content, error,
    h('footer', {}, h('button', { onclick: () => dialog.close() }, text.cancel), ok)));
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector('input, textarea, footer button')?.focus();
  return dialog;
}

/** Returns an input with its label, and a hint below it. */
export function field(label, input, hint) {
  const id = input.id || `field-${++fields}`;
  input.id = id;
  if (hint) input.setAttribute('aria-describedby', `${id}-hint`);
  return h('div.field', {}, h('label', { for: id }, label), input, hint && h('p.rule', { id: `${id}-hint` }, hint));
}
let fields = 0;

/** Asks for confirmation, and calls run if the user confirms. */
export function ask(question, { hint, action, run, errors }) {
  form(question, { content: [h('p', {}, hint)], action, danger: true, errors, submit: async () => {
    await run();
    return true;
  } });
}
