// The messages that this client has received in one conversation.

const MAX_HELD = 512; // messages kept beyond a gap
const MAX_OWN = 65_536; // seqs of this client's own messages kept beyond a gap

/** The set of received seqs, as described in docs/protocol.md: all seqs up to
 * last, and those that arrived beyond a gap. */
export class Track {
  /** Whether it is known where the set begins. Until then, seqs of own messages
   * are kept in beyond, because earlier messages may still arrive. */
  started = false;
  last = 0; // all messages up to this seq have been received
  high = 0; // the highest seq known to exist
  beyond = new Map(); // messages beyond a gap by seq; null for own messages

  /** The first seq of the set if its start is only assumed, else 0. */
  floor = 0;

  timer = null; // fires when the gap is to be requested
  syncing = null; // the unanswered SYNC
  syncWait = 0; // the last retry delay of SYNC, ms

  queued = 0; // messages not yet delivered to the listeners
  handled = 0; // all messages up to this seq have been delivered, so receipts may include them
  receipted = 0; // the seq of the last receipt sent
  dirty = false; // whether it is in the inbox's list of tracks with receipts to send

  read = 0; // the application has marked this seq as read
  paged = 0; // the last seq that history has returned
  readSent = 0; // the seq of the last read receipt sent
  readAt = 0; // the time when it was sent

  receiptRID = 0; // the rid of the last receipt
  readRID = 0; // the rid of the last read receipt

  constructor(conversation) {
    this.conversation = conversation;
  }

  /** Makes the set begin after seq, or include all seqs up to it, because no
   * earlier messages will come. Returns the messages to deliver now. */
  startAt(seq) {
    if (this.started && this.last >= seq) return [];
    this.started = true;
    this.last = seq;
    this.floor = 0;
    for (const s of this.beyond.keys()) if (s <= seq) this.beyond.delete(s);
    return this.#release([]);
  }

  /** Like startAt, but only assumes that no earlier messages will come. */
  assume(seq) {
    const out = this.startAt(seq);
    this.floor = seq + 1;
    return out;
  }

  /** Notes a push, before it is added. The server pushes in order, so an assumed start
   * is certain now or, if seq is before it, everything up to it is a gap. */
  pushed(seq) {
    if (seq < this.floor) {
      for (let s = this.floor; s <= this.last; s++) this.beyond.set(s, null);
      this.last = seq - 1;
      this.handled = Math.min(this.handled, this.last);
      this.receipted = Math.min(this.receipted, this.last);
    }
    this.floor = 0;
  }

  /** Adds a seq to the set. m is its message, or null for an own one that was
   * acknowledged. Returns the messages to deliver now (shown), in order, and
   * whether seq was in the set already (known). */
  add(seq, m) {
    // The server sends in order, after this device's last receipt: the first to
    // arrive is the next one.
    const shown = !this.started && (m || seq === 1) ? this.startAt(seq - 1) : [];
    if ((this.started && seq <= this.last) || this.beyond.has(seq)) return { shown, known: true };
    this.high = Math.max(this.high, seq);
    // Those beyond the limit come by SYNC, own ones as if from another device.
    if (this.beyond.size < (m ? MAX_HELD : MAX_OWN) || seq === this.last + 1) this.beyond.set(seq, m);
    return { shown: this.started ? this.#release(shown) : shown, known: false };
  }

  /** Advances last over consecutive seqs and appends their messages to out. */
  #release(out) {
    for (let m; (m = this.beyond.get(this.last + 1)) !== undefined; ) {
      this.beyond.delete(++this.last);
      if (m) this.queued = out.push(m) && this.queued + 1;
    }
    this.high = Math.max(this.high, this.last);
    this.#caughtUp();
    return out;
  }

  /** Includes own messages, which listeners don't get, in receipts. */
  #caughtUp() {
    if (this.queued === 0) this.handled = Math.max(this.handled, this.last);
  }

  /** Notes that seq was delivered to the listeners. */
  shown(seq) {
    this.queued--;
    this.handled = Math.max(this.handled, seq);
    this.#caughtUp();
  }

  get gap() {
    return this.high > this.last;
  }

  /** The lowest seq beyond the gap; 0 if there is none. */
  get lowest() {
    return this.beyond.size && [...this.beyond.keys()].reduce((a, b) => Math.min(a, b));
  }
}
