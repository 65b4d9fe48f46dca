// What the browser keeps for us. It may be full, or forbidden: then nothing is
// kept, and everything else goes on.

const prefix = 'chatd.';

export function load(name, otherwise = null) {
  try {
    return JSON.parse(localStorage.getItem(prefix + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keeps a value that JSON keeps; null, undefined and what is empty are taken away. */
export function save(name, value) {
  try {
    const empty = value === null || value === undefined || value === '' || (typeof value === 'object' && !Object.keys(value).length);
    if (empty) localStorage.removeItem(prefix + name);
    else localStorage.setItem(prefix + name, JSON.stringify(value));
  } catch {
    // Nobody to tell who could help.
  }
}

/** Takes away all that is kept of a user but who is blocked: whoever logs in next need not read it. */
export function forget(user) {
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(prefix) && name.split('.')[2] === String(user) && !name.startsWith(`${prefix}blocked.`)) localStorage.removeItem(name);
    }
  } catch {
    // There was nothing, then.
  }
}

/** Makes of write a function that asks for it: it is done within a second, and
 * before the page goes away. cancel takes it back. */
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
