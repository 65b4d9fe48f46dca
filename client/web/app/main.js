// The start: where the chat is, who is logged in, and which of the two views
// there is to show, the way in or the chat.

import { language, text } from './language.js';
import { SignIn } from './sign-in.js';
import { load } from './storage.js';

document.documentElement.lang = language;

/** The chat's WebSocket address. A server that starts or drains has none yet: asked again until it has. */
async function chatAddress() {
  for (let wait = 250; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const answer = await fetch('/config.json');
      if (answer.ok) return (await answer.json()).ws;
    } catch {
      // Away: the same as not there yet.
    }
    document.body.dataset.waiting = text.noServer;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** All but the way in. Its modules are asked for together, and not one by the other. */
async function chat() {
  document.head.append(document.getElementById('rest').content);
  const [url, { Account }, { Shell }] = await Promise.all([chatAddress(), import('./account.js'), import('./shell.js')]);
  delete document.body.dataset.waiting;
  return { account: new Account(url), Shell };
}

/** Once what there is has been painted. */
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

// Who has to log in can begin to type before the chat is here.
const known = Boolean(load('saved')?.token);
const ready = known ? chat() : painted().then(chat);
const enter = async (...who) => (await ready).account.enter(...who);
let view = known ? null : new SignIn('', enter);

const { account, Shell } = await ready;
view?.focus();
function show() {
  if (account.chat && view?.chat !== account.chat) {
    view?.close();
    view = new Shell(account);
  } else if (!account.chat && !(view instanceof SignIn)) {
    view?.close();
    view = new SignIn(account.state.why, enter);
  }
}

account.changed.on(show);
await account.start();
show();
