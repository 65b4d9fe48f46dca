// Friends and groups, as the last login told them and what came since has changed them.

const byId = (a, b) => a.id - b.id;

export class Lists {
  #friends = new Map();
  #groups = new Map();

  get friends() {
    return [...this.#friends.values()].sort(byId).map((f) => ({ ...f }));
  }

  get groups() {
    return [...this.#groups.values()].sort(byId).map((g) => ({ ...g, users: g.users && [...g.users.values()].sort(byId).map((u) => ({ ...u })) }));
  }

  clear() {
    this.#friends.clear();
    this.#groups.clear();
  }

  set(friends, groups) {
    this.clear();
    for (const { id, name, state } of friends) this.#friends.set(id, { id, name, state });
    for (const g of groups) this.addGroup(g.id, g);
  }

  hasGroup(id) {
    return this.#groups.has(id);
  }

  /** Adds or renames; without a state the one that is known stays. */
  addFriend(id, name, state) {
    const friend = { id, name, state: state ?? this.#friends.get(id)?.state ?? "offline" };
    this.#friends.set(id, friend);
    return { ...friend };
  }

  delFriend(id) {
    this.#friends.delete(id);
  }

  /** frame: a group in the words of the wire. */
  addGroup(id, { groupname = "", groupdesc = "", users, count = 0 }) {
    const group = groupOf(id, groupname, groupdesc, users, count);
    this.#groups.set(id, { ...group, users: group.users && new Map(group.users.map((u) => [u.id, u])) });
    return group;
  }

  delGroup(id) {
    return this.#groups.delete(id);
  }

  presence(id, state) {
    const friend = this.#friends.get(id);
    if (friend) friend.state = state;
    for (const g of this.#groups.values()) {
      const u = g.users?.get(id);
      if (u) u.state = state;
    }
  }

  joined(group, id, name) {
    const g = this.#groups.get(group);
    if (!g || g.users?.has(id)) return;
    g.count++;
    g.users?.set(id, { id, name, state: "online", role: "normal" });
  }

  left(group, id) {
    const g = this.#groups.get(group);
    if (!g || (g.users ? !g.users.delete(id) : g.count === 0)) return;
    g.count--;
  }
}

export function groupOf(id, name, description, users, count) {
  const listed = users ? users.map(memberOf) : null;
  return { id, name, description, users: listed, count: listed ? listed.length : count };
}

export const memberOf = ({ id, name, state, role }) => ({ id, name, state, role });
