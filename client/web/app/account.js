// The logged-in user and the connection. There is one Client at a time. It is
// replaced when this tab takes over from another tab. The token and the unsent
// messages are always in the browser's storage, for the next Client.

import { Client } from '../sdk/chatd.js';
import { Chat } from './chat.js';
import { Signal } from './signal.js';
import { forget, lazily, load, save } from './storage.js';
import { Tabs } from './tabs.js';

/** Returns this browser's device name, which all its tabs share. */
function device() {
  let name = load('device');
  if (typeof name !== 'string') {
    name = `web-${[...crypto.getRandomValues(new Uint8Array(4))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
    save('device', name);
  }
  return name;
}

export class Account {
  chat = null; // the logged-in user's Chat, or null
  /** The SDK client's state, { name: "resting" } while another tab is active, or
   * { name: "signedOut", why }, where why is the SDK's EndReason, or "" after a logout here. */
  state = { name: 'signedOut', why: '' };
  changed = new Signal();

  #url;
  #client = null;
  #stop = [];
  #tabs = new Tabs(() => this.#rest(), () => this.state.name === 'resting' && this.take());
  #keep = lazily(() => this.#client?.saved && save('saved', this.#client.saved));

  constructor(url) {
    this.#url = url;
    addEventListener('storage', ({ key }) => {
      // Another tab has logged in or out.
      if (key === 'chatd.saved' && load('saved')?.user !== this.chat?.me.id) location.reload();
    });
    const front = () => this.state.name === 'resting' && document.visibilityState === 'visible' && this.take();
    addEventListener('focus', front);
    document.addEventListener('visibilitychange', front);
  }

  get client() {
    return this.#client;
  }

  /** Resumes the stored login, if there is one. */
  async start() {
    const saved = load('saved');
    if (!saved?.token) return;
    this.chat = new Chat({ id: saved.user, name: saved.name });
    if (document.visibilityState === 'hidden' && (await this.#tabs.elsewhere())) {
      this.#tabs.rest();
      this.#tell({ name: 'resting' });
    } else {
      this.take();
    }
  }

  /** Makes this tab the active one. */
  take() {
    const saved = load('saved');
    if (!saved?.token) return this.#signOut('');
    this.#tabs.take();
    this.#begin().resume(saved).catch(() => {}); // state events report errors
  }

  /** Logs in. If registers is true, registers the user first, with the invitation code if there is one. */
  async enter(registers, name, password, code) {
    const client = this.#begin();
    try {
      if (registers) await client.register(name, password, code);
      await client.login(name, password);
    } catch (error) {
      if (client === this.#client) this.#end();
      throw error;
    }
  }

  async logout() {
    try {
      await this.#client?.logout();
    } catch {
      // Offline: log out locally anyway.
    }
    this.#signOut('');
  }

  retryNow() {
    this.#client?.retryNow();
  }

  #begin() {
    this.#end();
    const client = new Client({ url: this.#url, device: device() });
    this.#client = client;
    const on = (name, listener) => this.#stop.push(client.on(name, listener));
    on('state', (state) => this.#state(state));
    on('token', () => client.saved && save('saved', client.saved));
    on('pending', (pending) => save(`pending.${client.me?.id ?? this.chat?.me.id}`, pending));
    on('message', this.#keep);
    on('sent', this.#keep);
    if (this.chat) {
      client.restore(load(`pending.${this.chat.me.id}`, []));
      this.chat.attach(client);
    }
    return client;
  }

  #end() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.#keep.cancel();
    this.chat?.detach();
    this.#client?.close();
    this.#client = null;
  }

  #state(state) {
    if (state.name === 'online' && !this.chat) {
      const { id, name } = this.#client.me;
      this.chat = new Chat({ id, name });
      this.#tabs.take();
      save('saved', this.#client.saved);
      this.chat.attach(this.#client);
    }
    if (state.name !== 'ended') return this.#tell(state);
    if (!this.chat) return; // enter() throws the reason
    if (state.reason === 'replaced') this.#rest();
    else if (state.reason === 'token' || state.reason === 'logout' || state.reason === 'password') this.#signOut(state.reason);
    else this.#tell(state);
  }

  /** Another tab is active. Only that one may write to the storage from now on. */
  #rest() {
    this.#tabs.leave();
    this.#end();
    this.#tell({ name: 'resting' });
  }

  #signOut(why) {
    const id = this.chat?.me.id;
    this.#tabs.leave();
    this.#end();
    this.chat = null;
    save('saved', null);
    if (!why && id) forget(id);
    this.#tell({ name: 'signedOut', why });
  }

  #tell(state) {
    this.state = state;
    this.changed.tell(state);
  }
}

