// ChatError, the only kind of error reported to applications.

const names = {
  1: "refused", 3: "notLoggedIn", 4: "badRequest", 5: "notFound", 6: "notAllowed", 7: "already", 8: "tooLarge",
  9: "tooFast", 10: "unavailable", 11: "unknownOp", 12: "loggedIn", 13: "limit",
};

/** The longest retry_after_ms that is accepted from a server, ms. */
export const MAX_RETRY_AFTER = 60_000;

export class ChatError extends Error {
  constructor(errno, name, text, retryAfter = 0) {
    super(text);
    this.errno = errno;
    this.name = name;
    this.text = text;
    this.retryAfter = retryAfter;
  }
}

/** Returns an error that isn't from the server. */
export const own = (name, text) => new ChatError(0, name, text);

export const closed = () => own("closed", "the client is closed");

/** Returns the error for input that the server would refuse with errno 4. */
export const badRequest = (text) => new ChatError(4, "badRequest", text);

/** Returns the error of an answer; null if it succeeded. */
export function refusal(frame) {
  if (!frame.errno) return null;
  return new ChatError(frame.errno, names[frame.errno] ?? "unavailable", frame.errmsg || "refused", waitOf(frame));
}

/** Returns how long a frame asks to wait, in ms, at most MAX_RETRY_AFTER. */
export const waitOf = (frame) => Math.min(Math.max(frame.retry_after_ms || 0, 0), MAX_RETRY_AFTER);
