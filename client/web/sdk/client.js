// The Client class: the public API, and how server frames are dispatched.

import { settings } from "./config.js";
import { connect } from "./connection.js";
import { addressee, conversationOf, group as ofGroup, id, isId, messageOf, parse, place, user as ofUser } from "./conversation.js";
import { Core } from "./core.js";
import { ChatError, badRequest, closed, own } from "./errors.js";
import { makeInbox } from "./inbox.js";
import { makeLink } from "./link.js";
import { Lists, groupOf, memberOf } from "./lists.js";
import { makeOutbox } from "./outbox.js";
import * as op from "./wire.js";

const REFRESH = 20; // how many of the latest conversations to request to find a group joined just now

export class Client {
  constructor(config) {
    const core = new Core(settings(config));
    const lists = new Lists();
    const link = makeLink(core, {
      entered, answered, received,
      lost() {
        outbox.lost();
        inbox.lost();
      },
      resumed() {
        outbox.pump();
        inbox.resumed();
      },
    });
    const outbox = makeOutbox(core, link, (conversation, seq) => inbox.stored(conversation, seq));
    const inbox = makeInbox(core, link, (message) => outbox.arrived(message));
    let epoch = 0;
    let features = [];
    const registering = new Set(); // connections opened by register
    const unhook = listen(core.config.host, () => core.enter(link.retryNow));

    const methods = {
      on: (name, listener) => core.on(name, listener),
      off: (name, listener) => core.off(name, listener),
      get state() {
        return link.state;
      },
      get me() {
        return core.me && { ...core.me };
      },
      get token() {
        return link.token;
      },
      get features() {
        return [...features];
      },
      get friends() {
        return lists.friends;
      },
      get groups() {
        return lists.groups;
      },
      get pending() {
        return outbox.pending();
      },
      get saved() {
        if (!core.me || !link.token) return null;
        const { id: user, name, device } = core.me;
        return { user, name, device, token: link.token, epoch, last: inbox.last() };
      },
      get stats() {
        return { ...core.stats };
      },

      register: (name, password, code) => run(() => register({ msgid: op.REG, name: String(name), password: String(password), code: code || undefined })),
      login: (user, password) => run(() => {
        const who = /^\d+$/.test(user) ? { id: id(Number(user)) } : { name: String(user) };
        return link.start({ ...who, password: String(password), device: core.config.device }, true);
      }),
      loginToken: (token) => run(() => link.start({ token: tokenOf(token) }, true)),
      resume: (saved) => run(() => resume(typeof saved === "string" ? { token: saved } : { ...saved })),
      logout: () => run(logout),
      changePassword: (password, newpassword) => ask(op.PASSWORD, { password: String(password), newpassword: String(newpassword) }, () => {}, false),
      retryNow: () => core.enter(link.retryNow),
      close,

      send(conversation, text, { cid, retry } = {}) {
        const done = run(() => outbox.send(conversation, text, cid, Boolean(retry)));
        done.catch(() => {}); // "failed" reports it too, so the promise may be ignored
        return done;
      },
      restore: (pending) => core.enter(() => outbox.restore(pending)),
      cancel(conversation, cid) {
        const done = outbox.cancel(conversation, cid);
        core.flush();
        return done;
      },
      flush: outbox.flush,
      markRead(conversation, seq) {
        parse(conversation);
        core.enter(() => isId(seq) && inbox.markRead(conversation, seq));
      },
      tell,
      typing: (conversation) => tell(conversation, "typing"),

      history: (conversation, { before, after, limit = 50 } = {}) => run(async () => {
        const f = await link.call({ msgid: op.SYNC, ...place(conversation), limit, before, after });
        const messages = f.messages.map(message);
        if (messages.length) inbox.paged(conversation, messages.at(-1).seq);
        return { messages, first: f.first, last: f.last, more: f.more };
      }),
      conversations: ({ before, limit = 50 } = {}) => ask(op.CONVERSATIONS, { limit, before }, (f) => ({
        conversations: f.conversations.map(({ groupid, peer, name, first, last, read, time, gone, message: m }) => ({
          conversation: groupid ? ofGroup(groupid) : ofUser(peer), name, first, last, read, time, message: m ? message(m) : null, ...(gone && { gone }),
        })),
        more: f.more,
      })),
      findUser: (who) => ask(op.FIND_USER, /^\d+$/.test(who) ? { userid: Number(who) } : { name: String(who) },
        ({ id, name, state }) => (state ? { id, name, state } : { id, name })),
      addFriend: (id) => ask(op.ADD_FRIEND, { friendid: id }, ({ name, state }) => ({ id, name, state })),
      delFriend: (friendid) => ask(op.DEL_FRIEND, { friendid }),
      block: (userid, on) => ask(op.BLOCK, { userid, on: Boolean(on) }),
      createGroup: (groupname, groupdesc = "") => ask(op.CREATE_GROUP, { groupname, groupdesc }, (f) => f.groupid),
      joinGroup: (groupid) => ask(op.ADD_GROUP, { groupid }, (f) => groupOf(groupid, f)),
      leaveGroup: (groupid) => ask(op.LEAVE_GROUP, { groupid }),
      kickMember: (groupid, userid) => ask(op.KICK_MEMBER, { groupid, userid }),
      dismissGroup: (groupid) => ask(op.DISMISS_GROUP, { groupid }),
      groupUsers: (groupid, { after } = {}) => ask(op.GROUP_USERS, { groupid, after }, (f) => ({ users: f.users.map(memberOf), more: f.more })),
    };
    Object.defineProperties(this, Object.getOwnPropertyDescriptors(methods));

    /** Runs a method so that it rejects instead of throwing, then delivers events. */
    async function run(work) {
      try {
        return await work();
      } finally {
        core.flush();
      }
    }

    function ask(msgid, fields, then = () => {}, patient) {
      return run(async () => then(await link.call({ msgid, ...fields }, patient)));
    }

    function message(frame) {
      return messageOf(frame, core.me.id);
    }

    // --- account and connection

    /** Registers on a separate connection, so that an existing login isn't affected. */
    function register(request) {
      return new Promise((resolve, reject) => {
        let next = 0;
        const { urls } = core.config;
        const dial = () => registering.add(connect(core, urls[next++], {
          opened: (conn) => conn.call(request).then((f) => resolve(f.id), reject).then(() => conn.end(own("aborted", "done"))),
          answered() {},
          received() {},
          silence: () => 0,
          ended(conn, error) {
            registering.delete(conn);
            if (!conn.opened && next < urls.length && !core.closed) dial();
            else reject(error);
          },
        }));
        if (core.closed) reject(closed());
        else dial();
      });
    }

    function resume(saved) {
      const { user, name, device, token, last } = saved;
      tokenOf(token);
      if (!core.closed && !link.online) {
        link.token = token;
        if (isId(user)) {
          core.me = { id: user, name, device };
          epoch = saved.epoch;
          lists.clear();
          inbox.restore(last);
        }
      }
      return link.start({ token }, false);
    }

    async function logout() {
      let failed = link.token ? own("notConnected", "logged out here, but the server couldn't be reached") : null;
      if (link.online) {
        inbox.sendReceipts();
        const answer = link.call({ msgid: op.LOGOUT });
        link.retryNow(); // notice a dead connection soon
        failed = await answer.then(() => null, (error) => error);
      }
      if (core.closed) throw closed();
      const done = own("loggedOut", "logged out");
      outbox.fail(done);
      inbox.forgetAll();
      lists.clear();
      link.stop("loggedOut", done);
      if (failed) throw failed;
    }

    function close() {
      if (core.closed) return;
      inbox.sendReceipts();
      core.closed = true;
      unhook();
      for (const conn of registering) conn.end(closed());
      outbox.close();
      link.close();
      core.flush();
    }

    function tell(conversation, kind, data = "") {
      const to = addressee(conversation);
      if (typeof kind !== "string" || kind === "" || [...kind].length > op.MAX_EVENT || typeof data !== "string" || op.bytes(data) > op.MAX_DATA || op.torn(kind + data)) {
        throw badRequest(`an event must have a kind of 1 to ${op.MAX_EVENT} characters and at most ${op.MAX_DATA} bytes of data`);
      }
      if (!link.online || link.quiet) return false;
      link.send({ msgid: op.EVENT, ...to, event: kind, ...(data && { data }) });
      return true;
    }

    // --- frames from the server

    function change(kind, more) {
      core.put("change", { kind, ...more });
    }

    /** Handles a successful login. */
    function entered(frame) {
      const { id, name, device } = frame;
      if (core.me && (core.me.id !== id || core.me.device !== device)) {
        // Another user or device: nothing received so far belongs to it.
        lists.clear();
        inbox.forgetAll();
      } else if (epoch && epoch !== frame.epoch) {
        inbox.forgetAll();
        core.put("epoch", { epoch: frame.epoch });
      }
      core.me = { id, name, device };
      epoch = frame.epoch;
      features = frame.features ?? [];
      const groups = core.config.brief ? null : frame.groups ?? [];
      if (groups) {
        lists.set(frame.friends ?? [], groups);
        change("lists");
      }
      outbox.entered(id, frame.window);
      inbox.entered(frame, groups);
      outbox.pump();
    }

    /** Handles the answer to one of our requests. */
    function answered(request, frame, error) {
      if (request.msgid === op.SYNC) inbox.synced(request, frame);
      else if (!error) changed(request.msgid, { ...frame, ...request }, true);
    }

    /** Handles pushes, and the answers to messages and receipts, which aren't
     * sent with call. */
    function received(frame) {
      if (frame.rid !== undefined) {
        if (outbox.answered(frame) || frame.errno !== op.TOO_FAST) return;
        link.slowDown(frame);
        return inbox.receiptRefused(frame.rid);
      }
      switch (frame.msgid) {
        case op.ONE_CHAT:
        case op.GROUP_CHAT:
          return inbox.pushed(frame);
        case op.PRESENCE:
          lists.presence(frame.id, frame.state);
          return core.put("presence", { user: frame.id, state: frame.state });
        case op.EVENT:
          return core.put("event", { conversation: conversationOf(frame, core.me.id), from: frame.id, name: frame.name, kind: frame.event, data: frame.data ?? "" });
        case op.RECEIPT:
          if (frame.read) core.put("read", { conversation: frame.groupid ? ofGroup(frame.groupid) : ofUser(frame.peer), user: frame.id, seq: frame.seq });
          return;
      }
      changed(frame.msgid, frame, false);
    }

    /** Updates the lists after a change. If it was made by us on this device, f
     * has the fields of request and answer; otherwise it is a push, which has
     * the msgid of the request. */
    function changed(msgid, f, byUs) {
      const { groupid: group, name } = f;
      const user = f.friendid ?? f.userid ?? f.id;
      switch (msgid) {
        case op.ADD_FRIEND:
          lists.addFriend(user, name, f.state);
          return change("friendAdded", { user, name });
        case op.DEL_FRIEND:
          lists.delFriend(user);
          return change("friendRemoved", { user });
        case op.BLOCK:
          return change(f.on ? "blocked" : "unblocked", { user });
        case op.CREATE_GROUP:
          f.users = [{ id: core.me.id, name: core.me.name, state: "online", role: "creator" }];
          f.seq = 0;
        // falls through: the creator is a member
        case op.ADD_GROUP:
          if (byUs) {
            lists.addGroup(group, f);
            inbox.begin(ofGroup(group), f.seq);
            return change("groupAdded", { group });
          }
          if (user === core.me.id && !lists.hasGroup(group)) return joinedElsewhere(group);
          lists.joined(group, user, name);
          return change("memberJoined", { group, user, name });
        case op.LEAVE_GROUP:
        case op.KICK_MEMBER:
        case op.DISMISS_GROUP:
          if (msgid === op.DISMISS_GROUP || (msgid === op.LEAVE_GROUP && (byUs || user === core.me.id))) {
            lists.delGroup(group);
            inbox.forget(ofGroup(group));
            return change("groupRemoved", { group });
          }
          lists.left(group, user);
          return change("memberLeft", { group, user });
        case op.PASSWORD:
          return link.renew(f.token);
      }
    }

    /** Looks up a group that another device of ours has joined. The push has only
     * its ID. */
    function joinedElsewhere(groupid) {
      lists.addGroup(groupid, { users: [] });
      Promise.all([link.call({ msgid: op.CONVERSATIONS, limit: REFRESH }), link.call({ msgid: op.GROUP_USERS, groupid })]).then(([c, { users, more }]) => {
        const known = lists.groups.find((g) => g.id === groupid);
        if (!known) return; // left again meanwhile
        const groupname = c.conversations.find((x) => x.groupid === groupid)?.name;
        const joined = known.users.filter((u) => !users.some((x) => x.id === u.id)); // those who joined meanwhile
        lists.addGroup(groupid, { groupname, ...(more ? { count: users.length } : { users: [...users, ...joined] }) });
      }).catch((error) => core.log("debug", `couldn't look up group ${groupid}`, error)).then(() => core.enter(() => change("groupAdded", { group: groupid })));
    }
  }
}

function tokenOf(token) {
  if (typeof token !== "string" || token === "") throw new ChatError(1, "refused", "the token is missing");
  return token;
}

/** Calls look on browser events after which the connection should be checked.
 * Returns a function that removes the listeners. */
function listen(host, look) {
  const seen = () => host.document.visibilityState !== "hidden" && look();
  const all = [[host, "online", look], [host, "offline", look], [host, "pageshow", look], [host?.document, "visibilitychange", seen], [host?.document, "resume", look]];
  for (const [target, name, listener] of all) target?.addEventListener?.(name, listener);
  return () => all.forEach(([target, name, listener]) => target?.removeEventListener?.(name, listener));
}
