// Validates the settings and fills in defaults.

import { badRequest } from "./errors.js";
import { MAX_DEVICE, MAX_WINDOW, torn } from "./wire.js";

const numbers = {
  window: MAX_WINDOW, outbox: 4096, dialTimeout: 10_000, loginTimeout: 30_000, backoffMin: 200, backoffMax: 30_000,
  pingEvery: 30_000, pongWait: 15_000,
};

const clock = {
  now: () => Date.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

function log(level, text, detail) {
  if (level !== "debug") console[level](`chatd: ${text}`, ...(detail === undefined ? [] : [detail]));
}

/** Returns the complete settings. Throws ChatError "badRequest" if one is invalid. */
export function settings(config) {
  const c = {
    device: "default", brief: false, log, clock, random: Math.random, WebSocket: globalThis.WebSocket,
    host: globalThis.addEventListener ? globalThis : null, ...numbers, ...set(config ?? {}),
  };
  c.urls = [].concat(c.url ?? []);
  if (c.urls.length === 0 || !c.urls.every((url) => /^wss?:\/\/./.test(url))) {
    throw badRequest('config.url must be a URL "ws://…" or "wss://…", or a list of such URLs');
  }
  if (typeof c.WebSocket !== "function") {
    throw badRequest("no WebSocket found: use Node 22 or later, or set config.WebSocket");
  }
  if (typeof c.device !== "string" || c.device === "" || [...c.device].length > MAX_DEVICE || torn(c.device)) {
    throw badRequest(`config.device must have 1 to ${MAX_DEVICE} characters`);
  }
  for (const name of Object.keys(numbers)) {
    if (!(Number.isFinite(c[name]) && c[name] > 0)) throw badRequest(`config.${name} must be a number greater than 0`);
  }
  c.window = Math.min(c.window, MAX_WINDOW);
  c.backoffMax = Math.max(c.backoffMax, c.backoffMin);
  return c;
}

const set = (config) => Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
