// The start: where the chat is, who is logged in, and which of the two views
// there is to show, the way in or the chat.

import { language, text } from './language.js';
import { SignIn } from './sign-in.js';
import { load } from './storage.js';

const loadAgainAfter = 2000; // ms

document.documentElement.lang = language;

/** Says that the server is away, for so long. */
async function away(wait) {
  document.body.dataset.waiting = text.noServer;
  await new Promise((resolve) => setTimeout(resolve, wait));
}

/** Loads the page anew. Nothing goes on before that. */
function again() {
  location.reload();
  return new Promise(() => {});
}

/** The chat's WebSocket address. A server that starts or drains has none yet: asked again until it has.
 * What it served before that may not connect to it (its policy names no chat): so it is got anew. */
async function chatAddress() {
  for (let wait = 0; ; wait = Math.min(2 * wait || 250, 8000)) {
    if (wait) await away(wait);
    try {
      const answer = await fetch('/config.json');
      if (answer.ok) return wait ? again() : (await answer.json()).ws;
    } catch {
      // Away: the same as not there yet.
    }
  }
}

/** All but the way in. Its modules are asked for together, and not one by the other. */
async function chat() {
  document.head.append(document.getElementById('rest').content);
  const modules = Promise.all([import('./account.js'), import('./shell.js')]);
  modules.catch(() => {}); // looked at below, once there is a server
  const url = await chatAddress();
  const [{ Account }, { Shell }] = await modules.catch(() => away(loadAgainAfter).then(again));
  return { account: new Account(url), Shell };
}

/** Once what there is has been painted. */
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

// Who has to log in can begin to type before the chat is here. (In a tab that nobody sees, nothing is painted.)
const known = Boolean(load('saved')?.token);
const ready = known || document.hidden ? chat() : painted().then(chat);
const enter = async (...who) => {
  const { account } = await ready;
  if (!account.chat) await account.enter(...who); // else another tab was faster
};
let view = known ? null : new SignIn('', enter);

const { account, Shell } = await ready;
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
performance.mark('ready'); // all of the page is here
