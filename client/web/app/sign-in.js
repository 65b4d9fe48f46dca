// The sign-in view: log in or register.

import { h, set } from './element.js';
import { iconButton } from './icons.js';
import { text } from './language.js';
import { explain } from './toasts.js';

export class SignIn {
  #enter;
  #name = h('input', { id: 'name', name: 'username', type: 'text', required: true, maxlength: 100, autocapitalize: 'none', spellcheck: 'false', autocomplete: 'username' });
  #password = h('input', { id: 'password', name: 'password', type: 'password', required: true, maxlength: 256 });
  #nameLabel = h('label', { for: 'name' });
  #nameRule = h('p.rule', { id: 'name-rule' }, text.nameRule);
  #passwordRule = h('p.rule', { id: 'password-rule' }, text.passwordRule);
  #code = h('input', { id: 'code', autocomplete: 'off' });
  #codeField = h('div.field', {}, h('label', { for: 'code' }, text.code), this.#code);
  #error = h('p.error', { role: 'alert' });
  #submit = h('button.primary', { type: 'submit' });
  #question = h('span');
  #other = h('button.link', { onclick: () => this.#mode(!this.#registers) });
  #reveal = iconButton(text.showPassword, 'eye', () => this.#show(), { 'aria-pressed': 'false' });
  #registers = false;
  #busy = false;
  #who; // who may register

  /** why is the reason of a logout, "" if there was none. enter(registers, name, password) logs in. */
  constructor(why, enter) {
    this.#enter = enter;
    const form = h('form', { novalidate: true, 'aria-label': text.logIn, onsubmit: (event) => this.#go(event) },
      h('div.field', {}, this.#nameLabel, this.#name, this.#nameRule),
      h('div.field', {}, h('label', { for: 'password' }, text.password), h('div.with-button', {}, this.#password, this.#reveal), this.#passwordRule),
      this.#codeField,
      this.#error,
      this.#submit);
    this.form = form;
    document.body.replaceChildren(h('main.sign-in', {},
      h('div.card', {},
        h('img.logo', { src: '/icon.svg', alt: '', width: 56, height: 56 }),
        h('h1', {}, text.name),
        h('p.tagline', {}, text.tagline),
        form,
        h('p.switch', {}, this.#question, ' ', this.#other))));
    document.title = text.name;
    this.#mode(false);
    if (why) this.#error.textContent = why === 'logout' ? text.loggedOutElsewhere : text.tokenEnded;
    this.#name.focus();
  }

  close() {}

  /** Sets who may register: "open", "invite" or "off". */
  allow(who) {
    this.#who = who;
    this.#codeField.hidden = !(this.#registers && who === 'invite');
    this.#other.parentNode.hidden = who === 'off' && !this.#registers;
  }

  #mode(registers) {
    this.#registers = registers;
    set(this.form, { 'aria-label': registers ? text.register : text.logIn });
    this.#nameLabel.textContent = registers ? text.yourName : text.nameOrId;
    this.#nameRule.hidden = this.#passwordRule.hidden = !registers;
    set(this.#name, { 'aria-describedby': registers && 'name-rule' });
    set(this.#password, { 'aria-describedby': registers && 'password-rule', autocomplete: registers ? 'new-password' : 'current-password' });
    this.#submit.textContent = registers ? text.register : text.logIn;
    this.#question.textContent = registers ? text.haveAccount : text.newHere;
    this.#other.textContent = registers ? text.logIn : text.register;
    this.#error.textContent = '';
    this.allow(this.#who);
    this.#name.focus();
  }

  #show() {
    const shown = this.#password.type === 'password';
    this.#password.type = shown ? 'text' : 'password';
    set(this.#reveal, { 'aria-pressed': String(shown) });
  }

  /** Checks the input by the rules of the protocol. Returns the invalid field and what is
   * wrong with it, or null. */
  #fault(name, password) {
    const length = [...password].length;
    const badLength = length < 6 || length > 128;
    if (this.#registers) {
      if (!name || /^\d+$/.test(name) || [...name].length > 50) return [this.#name, text.nameRule];
      return badLength ? [this.#password, text.passwordRule] : null;
    }
    if (!name) return [this.#name, text.enterName];
    return badLength ? [this.#password, length ? text.wrongLogin : text.enterPassword] : null;
  }

  async #go(event) {
    event.preventDefault();
    if (this.#busy) return;
    const name = this.#name.value.trim();
    const password = this.#password.value;
    const fault = this.#fault(name, password);
    for (const input of [this.#name, this.#password]) set(input, { 'aria-invalid': fault?.[0] === input && 'true' });
    this.#error.textContent = fault?.[1] ?? '';
    if (fault) return fault[0].focus();

    this.#busy = true;
    this.#submit.textContent = text.working;
    set(this.#submit, { 'aria-disabled': 'true' });
    try {
      await this.#enter(this.#registers, name, password, this.#code.value.trim());
    } catch (error) {
      const errors = this.#registers
        ? { refused: text.nameTaken, badRequest: /password/.test(error.text) ? text.commonPassword : text.badName, notFound: text.badCode, notAllowed: text.closed }
        : { refused: text.wrongLogin, badRequest: text.wrongLogin };
      this.#error.textContent = explain(error, errors);
      const noCode = error.name === 'notFound';
      if (noCode) this.allow('invite');
      (noCode ? this.#code : errors[error.name] && !this.#registers ? this.#password : this.#name).select();
    } finally {
      this.#busy = false;
      this.#submit.textContent = this.#registers ? text.register : text.logIn;
      set(this.#submit, { 'aria-disabled': null });
    }
  }
}
