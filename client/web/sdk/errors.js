// What is reported to an application: one kind of error.

const names = {
  1: "refused", 3: "notLoggedIn", 4: "badRequest", 5: "notFound", 6: "notAllowed", 7: "already", 8: "tooLarge",
  9: "tooFast", 10: "unavailable", 11: "unknownOp", 12: "loggedIn", 13: "limit",
};

/** A server's retry_after_ms is cut to this. */
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

/** An error that no server has sent. */
export const own = (name, text) => new ChatError(0, name, text);

export const closed = () => own("closed", "the client is closed");

/** What the server would refuse with errno 4, seen before it is sent. */
export const badRequest = (text) => new ChatError(4, "badRequest", text);

/** The error of an answer; null where it says that it was done. */
export function refusal(frame) {
  if (!frame.errno) return null;
  return new ChatError(frame.errno, names[frame.errno] ?? "unavailable", frame.errmsg || "refused", waitOf(frame));
}

/** How long a frame asks to wait, within reason. */
export const waitOf = (frame) => Math.min(Math.max(frame.retry_after_ms || 0, 0), MAX_RETRY_AFTER);
