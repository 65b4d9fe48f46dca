// The browser's localStorage. If it is full or not allowed, nothing is stored, and
// the page works without it.

const prefix = 'chatd.';

export function load(name, otherwise = null) {
  try {
    return JSON.parse(localStorage.getItem(prefix + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Stores a value as JSON. Null, undefined, and empty strings, arrays and objects are removed. */
export function save(name, value) {
  try {
    const empty = value === null || value === undefined || value === '' || (typeof value === 'object' && !Object.keys(value).length);
    if (empty) localStorage.removeItem(prefix + name);
    else localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {
    // Work without it.
  }
}

/** Removes a user's data, except for the list of blocked users, so that whoever uses this
 * browser next can't read it. */
export function forget(user) {
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(prefix) && name.split('.')[2] === String(user) && !name.startsWith(`${prefix}blocked.`)) localStorage.removeItem(name);
    }
  } catch {
    // No storage, so nothing to remove.
  }
}

/** Returns a function that schedules write: it runs within a second, or before the page is
 * unloaded. Its properties now() and cancel() run and cancel a scheduled write. */
export function lazily(write) {
  let timer = 0;
  const now = () => {
    if (!timer) return;
    clearTimeout(timer);
    timer = 0;
    write();
  };
  addEventListener('pagehide', now);
  const ask = () => {
    timer ||= setTimeout(now, 1000);
  };
  ask.now = now;
  ask.cancel = () => {
    clearTimeout(timer);
    timer = 0;
  };
  return ask;
}
