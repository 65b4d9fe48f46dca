// Friends and groups: the lists of the last login, with all changes since.

const listed = (map) => [...map.values()].sort((a, b) => a.id - b.id).map((x) => ({ ...x }));

export class Lists {
  #friends = new Map();
  #groups = new Map(); // the users of each group are a Map too

  get friends() {
    return listed(this.#friends);
  }

  get groups() {
    return listed(this.#groups).map((g) => ({ ...g, users: g.users && listed(g.users) }));
  }

  clear() {
    this.#friends.clear();
    this.#groups.clear();
  }

  set(friends, groups) {
    this.clear();
    for (const { id, name, state } of friends) this.addFriend(id, name, state);
    for (const g of groups) this.addGroup(g.id, g);
  }

  hasGroup(id) {
    return this.#groups.has(id);
  }

  /** Adds or renames a friend. If state is undefined, the known one is kept. */
  addFriend(id, name, state) {
    this.#friends.set(id, { id, name, state: state ?? this.#friends.get(id)?.state ?? "offline" });
  }

  delFriend(id) {
    this.#friends.delete(id);
  }

  /** frame has the fields of a group on the wire. */
  addGroup(id, frame) {
    const group = groupOf(id, frame);
    this.#groups.set(id, { ...group, users: group.users && new Map(group.users.map((u) => [u.id, u])) });
  }

  delGroup(id) {
    this.#groups.delete(id);
  }

  presence(id, state) {
    for (const x of [this.#friends.get(id), ...[...this.#groups.values()].map((g) => g.users?.get(id))]) if (x) x.state = state;
  }

  joined(group, id, name) {
    const g = this.#groups.get(group);
    if (!g || g.users?.has(id)) return;
    g.count++;
    g.users?.set(id, { id, name, state: "online", role: "normal" });
  }

  left(group, id) {
    const g = this.#groups.get(group);
    if (g && (g.users ? g.users.delete(id) : g.count > 0)) g.count--;
  }
}

export function groupOf(id, { groupname: name = "", groupdesc: description = "", users, count = 0 }) {
  return { id, name, description, users: users ? users.map(memberOf) : null, count: users ? users.length : count };
}

export const memberOf = ({ id, name, state, role }) => ({ id, name, state, role });
