// Startup: finds the chat server's address, then shows the sign-in view or the chat.

import { language, text } from './language.js';
import { SignIn } from './sign-in.js';
import { load } from './storage.js';

const loadAgainAfter = 2000; // ms

document.documentElement.lang = language;

/** Shows that the server can't be reached, and waits. */
async function away(wait) {
  document.body.dataset.waiting = text.noServer;
  await new Promise((resolve) => setTimeout(resolve, wait));
}

/** Reloads the page. The promise never resolves. */
function again() {
  location.reload();
  return new Promise(() => {});
}

/** Returns the configuration: the chat's WebSocket URL, and who may register. Retries while the server is starting or draining, and
 * then reloads the page: the Content Security Policy that came with it doesn't allow the
 * WebSocket. */
async function configuration() {
  for (let wait = 0; ; wait = Math.min(2 * wait || 250, 8000)) {
    if (wait) await away(wait);
    try {
      const answer = await fetch('/config.json');
      if (answer.ok) return wait ? again() : await answer.json();
    } catch {
      // The server can't be reached. Retry.
    }
  }
}

/** Loads everything except the sign-in view. */
async function chat() {
  document.head.append(document.getElementById('rest').content);
  const modules = Promise.all([import('./account.js'), import('./shell.js')]);
  modules.catch(() => {}); // the error is handled below, once the server is reachable
  const { ws, registration } = await configuration();
  const [{ Account }, { Shell }] = await modules.catch(() => away(loadAgainAfter).then(again));
  return { account: new Account(ws), Shell, registration };
}

/** Resolves after the next paint. */
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

// Users who have to log in can start to type before the rest is loaded. (Hidden tabs don't paint.)
const known = Boolean(load('saved')?.token);
const ready = known || document.hidden ? chat() : painted().then(chat);
const enter = async (...who) => {
  const { account } = await ready;
  if (!account.chat) await account.enter(...who); // otherwise another tab has logged in meanwhile
};
let view = known ? null : new SignIn('', enter);

const { account, Shell, registration } = await ready;
view?.allow(registration);
function show() {
  if (account.chat && view?.chat !== account.chat) {
    view?.close();
    view = new Shell(account);
  } else if (!account.chat && !(view instanceof SignIn)) {
    view?.close();
    view = new SignIn(account.state.why, enter);
    view.allow(registration);
  }
}

account.changed.on(show);
await account.start();
show();
performance.mark('ready'); // the page is complete; tests wait for this
