// The start: where the chat is, who is logged in, and which of the two views
// there is to show, the way in or the chat.

import { Account } from './account.js';
import { language, text } from './language.js';
import { Shell } from './shell.js';
import { SignIn } from './sign-in.js';

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

const account = new Account(await chatAddress());
delete document.body.dataset.waiting;

let view;
function show() {
  if (account.chat && view?.chat !== account.chat) {
    view?.close();
    view = new Shell(account);
  } else if (!account.chat && !(view instanceof SignIn)) {
    view?.close();
    view = new SignIn(account);
  }
}

account.changed.on(show);
await account.start();
show();
