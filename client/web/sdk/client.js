// What an application calls. The rest of the files do the work.

import { settings } from "./config.js";
import { Connection } from "./connection.js";
import { addressee, conversationOf, group as groupName, id, isId, messageOf, parse, place, user as userName } from "./conversation.js";
import { Core } from "./core.js";
import { ChatError, badRequest, own, refusal, waitOf } from "./errors.js";
import { Inbox } from "./inbox.js";
import { Link } from "./link.js";
import { Lists, groupOf, memberOf } from "./lists.js";
import { Outbox } from "./outbox.js";
import * as wire from "./wire.js";

const REFRESH = 20; // of the latest conversations one must be the group that was joined just now

export class Client {
  #core;
  #link;
  #outbox;
  #inbox;
  #lists = new Lists();
  #epoch = 0;
  #asking = new Set(); // connections of register
  #unhook = [];

  constructor(config) {
    const core = (this.#core = new Core(settings(config)));
    this.#link = new Link(core, {
      entered: (frame) => this.#entered(frame),
      lost: () => {
        this.#outbox.lost();
        this.#inbox.lost();
      },
      resumed: () => {
        this.#outbox.pump();
        this.#inbox.resumed();
      },
      answered: (request, frame, error) => this.#answered(request, frame, error),
      received: (frame) => this.#received(frame),
    });
    this.#outbox = new Outbox(core, this.#link, (conversation, seq) => this.#inbox.stored(conversation, seq));
    this.#inbox = new Inbox(core, this.#link, (message) => this.#outbox.arrived(message));
    this.#hook();
  }

  on(name, listener) {
    return this.#core.events.on(name, listener);
  }

  off(name, listener) {
    this.#core.events.off(name, listener);
  }

  get state() {
    return this.#link.state;
  }

  get me() {
    return this.#core.me && { ...this.#core.me };
  }

  get token() {
    return this.#link.token;
  }

  get friends() {
    return this.#lists.friends;
  }

  get groups() {
    return this.#lists.groups;
  }

  get pending() {
    return this.#outbox.pending;
  }

  get saved() {
    if (!this.#core.me || !this.token) return null;
    const { id: user, name, device } = this.#core.me;
    return { user, name, device, token: this.token, epoch: this.#epoch, last: this.#inbox.last };
  }

  get stats() {
    return { ...this.#core.stats };
  }

  // --- coming and going

  /** Does what a method is for, and reports by its promise alone. */
  async #do(work) {
    try {
      return await work();
    } finally {
      this.#core.events.flush();
    }
  }

  register(name, password, { signal } = {}) {
    return this.#do(async () => (await this.#ask({ msgid: wire.REG, name: String(name), password: String(password) }, signal)).id);
  }

  /** A request on a connection of its own: whoever is logged in goes on. */
  #ask(frame, signal) {
    const { urls, loginTimeout } = this.#core.config;
    return new Promise((resolve, reject) => {
      if (this.#core.closed) return reject(own("closed", "the client is closed"));
      if (signal?.aborted) return reject(own("aborted", "nobody waits any more"));
      let conn, timer = null, next = 0;
      const finish = (how, what) => {
        this.#core.cancel(timer);
        signal?.removeEventListener("abort", abort);
        how(what);
      };
      const abort = () => conn.end(own("aborted", "nobody waits any more"));
      const owner = {
        silence: () => 0,
        opened: () => conn.call(frame).then((f) => finish(resolve, f), (error) => finish(reject, error)).then(() => conn.end(own("aborted", "done"))),
        frame: (_, f) => {
          const call = conn.calls.get(f.rid);
          const error = refusal(f);
          if (!call) {
            conn.turnedAway = error ?? conn.turnedAway;
            return;
          }
          conn.calls.delete(f.rid);
          if (error) call.reject(error);
          else call.resolve(f);
        },
        ended: (ended, error) => {
          this.#asking.delete(ended);
          if (!ended.opened && next < urls.length && !this.#core.closed && !signal?.aborted) return dial();
          finish(reject, ended.turnedAway ?? error);
        },
      };
      const dial = () => {
        conn = new Connection(this.#core, urls[next++], owner);
        this.#asking.add(conn);
      };
      dial();
      signal?.addEventListener("abort", abort);
      timer = this.#core.after(loginTimeout, () => conn.end(own("timeout", "the server doesn't answer")));
    });
  }

  login(user, password, { signal } = {}) {
    return this.#do(() => {
      const who = /^\d+$/.test(user) ? { id: id(Number(user)) } : { name: String(user) };
      return this.#link.start({ ...who, password: String(password), device: this.#core.config.device }, true, signal);
    });
  }

  loginToken(token, { signal } = {}) {
    return this.#do(() => this.#link.start({ token: tokenOf(token) }, true, signal));
  }

  resume(saved) {
    return this.#do(() => {
      const { user, name, device, token, epoch, last } = typeof saved === "string" ? { token: saved } : { ...saved };
      tokenOf(token);
      if (isId(user) && !this.#link.online) {
        this.#core.me = { id: user, name, device };
        this.#epoch = epoch;
        this.#lists.clear();
        this.#inbox.restore(last);
      }
      if (!this.#link.online) this.#link.token = token;
      return this.#link.start({ token }, false);
    });
  }

  logout() {
    return this.#do(async () => {
      const link = this.#link;
      let failed = this.token ? own("notConnected", "the server could not be told") : null;
      if (link.online) {
        this.#inbox.sendReceipts();
        const told = link.call({ msgid: wire.LOGOUT });
        link.retryNow(); // a dead connection is not waited for
        failed = await told.then(() => null, (error) => error);
      }
      if (this.#core.closed) throw own("closed", "the client is closed");
      this.#outbox.fail(own("loggedOut", "logged out"));
      this.#inbox.forgetAll();
      this.#lists.clear();
      link.stop("loggedOut", null);
      if (failed) throw failed;
    });
  }

  changePassword(password, newPassword, { signal } = {}) {
    return this.#request({ msgid: wire.PASSWORD, password: String(password), newpassword: String(newPassword) }, signal, () => {}, false);
  }

  retryNow() {
    this.#core.enter(() => this.#link.retryNow());
  }

  /** The browser tells when it is time to look at the connection. */
  #hook() {
    const { host } = this.#core.config;
    const look = () => this.retryNow();
    const hook = (target, name, listener) => {
      target?.addEventListener?.(name, listener);
      this.#unhook.push(() => target?.removeEventListener?.(name, listener));
    };
    for (const name of ["online", "offline", "pageshow"]) hook(host, name, look);
    hook(host?.document, "visibilitychange", () => host.document.visibilityState !== "hidden" && look());
    hook(host?.document, "resume", look);
  }

  close() {
    if (this.#core.closed) return;
    this.#inbox.sendReceipts();
    this.#core.closed = true;
    for (const unhook of this.#unhook) unhook();
    for (const conn of [...this.#asking]) conn.end(own("closed", "the client is closed"));
    this.#outbox.close();
    this.#link.close();
    this.#core.events.flush();
  }

  // --- talking

  send(conversation, text, { cid, retry } = {}) {
    const done = this.#do(() => this.#outbox.send(conversation, text, cid, Boolean(retry)));
    done.catch(() => {}); // "failed" tells it as well: nobody need wait
    return done;
  }

  restore(pending) {
    this.#core.enter(() => this.#outbox.restore(pending));
  }

  cancel(conversation, cid) {
    const done = this.#outbox.cancel(conversation, cid);
    this.#core.events.flush();
    return done;
  }

  flush() {
    return this.#outbox.flush();
  }

  markRead(conversation, seq) {
    parse(conversation);
    this.#core.enter(() => isId(seq) && this.#inbox.markRead(conversation, seq));
  }

  tell(conversation, kind, data = "") {
    const to = addressee(conversation);
    if (typeof kind !== "string" || kind === "" || [...kind].length > wire.MAX_EVENT || typeof data !== "string" || wire.bytes(data) > wire.MAX_DATA || wire.torn(kind + data)) {
      throw badRequest(`an event has a kind of 1 to ${wire.MAX_EVENT} characters, and at most ${wire.MAX_DATA} bytes of data`);
    }
    const { conn, online, quiet } = this.#link;
    if (!online || quiet) return false;
    conn.send({ msgid: wire.EVENT, ...to, event: kind, ...(data && { data }) });
    return true;
  }

  typing(conversation) {
    return this.tell(conversation, "typing");
  }

  // --- asking

  #request(frame, signal, then, patient) {
    return this.#do(async () => then(await this.#link.call(frame, signal, patient)));
  }

  history(conversation, { before, after, limit = 50, signal } = {}) {
    return this.#do(async () => {
      const frame = { msgid: wire.SYNC, ...place(conversation), limit };
      if (before !== undefined) frame.before = before;
      if (after !== undefined) frame.after = after;
      const f = await this.#link.call(frame, signal);
      return { messages: f.messages.map((m) => messageOf(m, this.#core.me.id)), first: f.first, last: f.last, more: f.more };
    });
  }

  conversations({ before, limit = 50, signal } = {}) {
    const frame = { msgid: wire.CONVERSATIONS, limit };
    if (before !== undefined) frame.before = before;
    return this.#request(frame, signal, (f) => ({
      more: f.more,
      conversations: f.conversations.map((c) => ({
        conversation: c.groupid ? groupName(c.groupid) : userName(c.peer), name: c.name, first: c.first, last: c.last,
        read: c.read, time: c.time, message: c.message ? messageOf(c.message, this.#core.me.id) : null,
      })),
    }));
  }

  findUser(nameOrId, { signal } = {}) {
    const who = /^\d+$/.test(nameOrId) ? { userid: Number(nameOrId) } : { name: String(nameOrId) };
    return this.#request({ msgid: wire.FIND_USER, ...who }, signal, ({ id, name, state }) => (state ? { id, name, state } : { id, name }));
  }

  addFriend(user, { signal } = {}) {
    return this.#request({ msgid: wire.ADD_FRIEND, friendid: user }, signal, ({ name, state }) => ({ id: user, name, state }));
  }

  delFriend(user, { signal } = {}) {
    return this.#request({ msgid: wire.DEL_FRIEND, friendid: user }, signal, () => {});
  }

  block(user, on, { signal } = {}) {
    return this.#request({ msgid: wire.BLOCK, userid: user, on: Boolean(on) }, signal, () => {});
  }

  createGroup(name, description = "", { signal } = {}) {
    return this.#request({ msgid: wire.CREATE_GROUP, groupname: name, groupdesc: description }, signal, (f) => f.groupid);
  }

  joinGroup(group, { signal } = {}) {
    return this.#request({ msgid: wire.ADD_GROUP, groupid: group }, signal,
      (f) => groupOf(group, f.groupname, f.groupdesc, f.users, f.count));
  }

  leaveGroup(group, { signal } = {}) {
    return this.#request({ msgid: wire.LEAVE_GROUP, groupid: group }, signal, () => {});
  }

  kickMember(group, user, { signal } = {}) {
    return this.#request({ msgid: wire.KICK_MEMBER, groupid: group, userid: user }, signal, () => {});
  }

  dismissGroup(group, { signal } = {}) {
    return this.#request({ msgid: wire.DISMISS_GROUP, groupid: group }, signal, () => {});
  }

  groupUsers(group, { after, signal } = {}) {
    const frame = { msgid: wire.GROUP_USERS, groupid: group };
    if (after !== undefined) frame.after = after;
    return this.#request(frame, signal, (f) => ({ users: f.users.map(memberOf), more: f.more }));
  }

  // --- what the server says

  #change(kind, more) {
    this.#core.events.put("change", { kind, ...more });
  }

  #entered(frame) {
    const core = this.#core;
    const { id, name, device, epoch } = frame;
    if (core.me && (core.me.id !== id || core.me.device !== device)) {
      // Another user, or device: nothing of what was received is theirs.
      this.#lists.clear();
      this.#inbox.forgetAll();
    }
    if (this.#epoch && this.#epoch !== epoch) {
      this.#inbox.forgetAll();
      core.events.put("epoch", { epoch });
    }
    core.me = { id, name, device };
    this.#epoch = epoch;
    const groups = core.config.brief ? null : frame.groups ?? [];
    if (groups) {
      this.#lists.set(frame.friends ?? [], groups);
      this.#change("lists");
    }
    this.#outbox.entered(id, frame.window);
    this.#inbox.entered(frame, groups);
    this.#outbox.pump();
  }

  /** Takes over what the answer to a request of our own says. */
  #answered(request, frame, error) {
    if (request.msgid === wire.SYNC) return this.#inbox.synced(request, frame);
    if (error) return;
    const lists = this.#lists;
    switch (frame.msgid) {
      case wire.ADD_FRIEND_ACK:
        lists.addFriend(request.friendid, frame.name, frame.state);
        return this.#change("friendAdded", { user: request.friendid, name: frame.name });
      case wire.DEL_FRIEND_ACK:
        lists.delFriend(request.friendid);
        return this.#change("friendRemoved", { user: request.friendid });
      case wire.CREATE_GROUP_ACK: {
        const me = { id: this.#core.me.id, name: this.#core.me.name, state: "online", role: "creator" };
        lists.addGroup(frame.groupid, { ...request, users: [me] });
        this.#inbox.begin(groupName(frame.groupid), 0);
        return this.#change("groupAdded", { group: frame.groupid });
      }
      case wire.ADD_GROUP_ACK:
        lists.addGroup(request.groupid, frame);
        this.#inbox.begin(groupName(request.groupid), frame.seq);
        return this.#change("groupAdded", { group: request.groupid });
      case wire.LEAVE_GROUP_ACK:
      case wire.DISMISS_GROUP_ACK:
        return this.#groupGone(request.groupid);
      case wire.KICK_MEMBER_ACK:
        lists.left(request.groupid, request.userid);
        return this.#change("memberLeft", { group: request.groupid, user: request.userid });
      case wire.BLOCK_ACK:
        return this.#change(request.on ? "blocked" : "unblocked", { user: request.userid });
      case wire.PASSWORD_ACK:
        return this.#link.renew(frame.token);
    }
  }

  #groupGone(group) {
    this.#lists.delGroup(group);
    this.#inbox.forget(groupName(group));
    this.#change("groupRemoved", { group });
  }

  /** Takes in a frame that answers no request. */
  #received(frame) {
    const { events, me } = this.#core;
    const lists = this.#lists;
    if (frame.rid !== undefined) {
      if (this.#outbox.answered(frame)) return;
      if (frame.msgid === wire.ERROR && frame.errno === wire.TOO_FAST) {
        this.#link.slowDown(frame);
        this.#inbox.receiptRefused(frame.rid);
      }
      return;
    }
    switch (frame.msgid) {
      case wire.ONE_CHAT:
      case wire.GROUP_CHAT:
        return this.#inbox.pushed(frame);
      case wire.ADD_FRIEND:
        lists.addFriend(frame.id, frame.name);
        return this.#change("friendAdded", { user: frame.id, name: frame.name });
      case wire.DEL_FRIEND:
        lists.delFriend(frame.id);
        return this.#change("friendRemoved", { user: frame.id });
      case wire.ADD_GROUP:
        if (frame.id === me.id && !lists.hasGroup(frame.groupid)) return this.#joinedElsewhere(frame.groupid);
        lists.joined(frame.groupid, frame.id, frame.name);
        return this.#change("memberJoined", { group: frame.groupid, user: frame.id, name: frame.name });
      case wire.LEAVE_GROUP:
        if (frame.id === me.id) return this.#groupGone(frame.groupid);
        lists.left(frame.groupid, frame.id);
        return this.#change("memberLeft", { group: frame.groupid, user: frame.id });
      case wire.DISMISS_GROUP:
        return this.#groupGone(frame.groupid);
      case wire.BLOCK:
        return this.#change(frame.on ? "blocked" : "unblocked", { user: frame.userid });
      case wire.PRESENCE:
        lists.presence(frame.id, frame.state);
        return events.put("presence", { user: frame.id, state: frame.state });
      case wire.EVENT:
        return events.put("event", { conversation: conversationOf(frame, me.id), from: frame.id, name: frame.name,
          kind: frame.event, data: frame.data ?? "" });
      case wire.RECEIPT:
        if (!frame.read) return;
        return events.put("read", { conversation: frame.groupid ? groupName(frame.groupid) : userName(frame.peer), user: frame.id, seq: frame.seq });
    }
  }

  /** Another device of ours has joined a group, of which the push tells the id
   * alone. */
  #joinedElsewhere(group) {
    const found = () => this.#change("groupAdded", { group });
    this.#lists.addGroup(group, {});
    if (this.#core.config.brief) return found();
    const name = this.#link.call({ msgid: wire.CONVERSATIONS, limit: REFRESH });
    const users = this.#link.call({ msgid: wire.GROUP_USERS, groupid: group });
    Promise.all([name, users]).then(([c, u]) => {
      if (!this.#lists.hasGroup(group)) return; // gone again
      const groupname = c.conversations.find((x) => x.groupid === group)?.name;
      this.#lists.addGroup(group, { groupname, ...(u.more ? { count: u.users.length } : { users: u.users }) });
    }).catch((error) => this.#core.log("debug", "a group could not be looked up", error)).then(() => this.#core.enter(found));
  }
}

function tokenOf(token) {
  if (typeof token !== "string" || token === "") throw new ChatError(1, "refused", "there is no token");
  return token;
}
