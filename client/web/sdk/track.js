// What this client has of one conversation.

const MAX_HELD = 512; // messages kept beyond a hole
const MAX_OWN = 65_536; // numbers of our own messages kept beyond a hole

/** The set of seqs that docs/protocol.md speaks of: the gapless part, and what
 * came beyond a hole. */
export class Track {
  /** It is known where the set begins. Until then an ACK of one's own waits:
   * what comes before it may still be on its way. */
  started = false;
  last = 0; // the end of the gapless part
  high = 0; // the highest seq known to exist
  beyond = new Map(); // beyond a hole: messages, null for our own that were acknowledged

  // floor is where a start that was only assumed begins, 0 after one that is
  // certain. A push from before it is new after all; late is the last such.
  floor = 0;
  late = 0;

  timer = null; // when to do something about the hole
  syncing = null; // the SYNC that is on its way
  syncWait = 0; // how long to wait after the next SYNC without progress

  queued = 0; // messages that wait for the listeners
  handled = 0; // receipts may say so much
  receipted = 0; // and have said this
  dirty = false; // it is among those that may have a receipt to send

  read = 0; // what the application has read
  paged = 0; // what a page of history has shown it
  readSent = 0; // what was told of it,
  readAt = 0; // and when

  receiptRID = 0; // of the last receipts
  readRID = 0;

  constructor(conversation) {
    this.conversation = conversation;
  }

  /** Begins the set after seq, or drops all before it: what is there, the
   * server says, is not for us. Returns what is no longer held back. */
  startAt(seq) {
    if (this.started && this.last >= seq) return [];
    this.started = true;
    this.last = seq;
    this.floor = 0;
    for (const s of this.beyond.keys()) if (s <= seq) this.beyond.delete(s);
    return this.#release([]);
  }

  /** Begins it on no better ground than that nothing else has come. */
  assume(seq) {
    const out = this.startAt(seq);
    this.floor = seq + 1;
    return out;
  }

  /** Puts seq into the set; m is null for an ACK of one's own. Returns what is
   * to be shown now, in order, and whether seq was known. */
  add(seq, m) {
    // The server sends what follows this device's receipts in order, so the
    // first to come is the next one.
    const shown = !this.started && (m || seq === 1) ? this.startAt(seq - 1) : [];
    if (this.started && seq <= this.last) {
      if (!m || seq >= this.floor || seq <= this.late) return { shown, known: true };
      this.late = seq;
      this.queued++;
      return { shown: [m], known: false };
    }
    if (this.beyond.has(seq)) return { shown, known: true };
    this.high = Math.max(this.high, seq);
    // What finds no room SYNC will bring, one's own as if another device had sent it.
    if (this.beyond.size < (m ? MAX_HELD : MAX_OWN) || seq === this.last + 1) this.beyond.set(seq, m);
    return { shown: this.started ? this.#release(shown) : shown, known: false };
  }

  /** Adds to out what follows last. */
  #release(out) {
    for (let m; (m = this.beyond.get(this.last + 1)) !== undefined; ) {
      this.beyond.delete(++this.last);
      if (m) this.queued = out.push(m) && this.queued + 1;
    }
    this.high = Math.max(this.high, this.last);
    this.#caughtUp();
    return out;
  }

  /** Lets receipts tell of one's own messages, which no listener sees. */
  #caughtUp() {
    if (this.queued === 0) this.handled = Math.max(this.handled, this.last);
  }

  /** The listeners have returned from seq. */
  shown(seq) {
    this.queued--;
    this.handled = Math.max(this.handled, seq);
    this.#caughtUp();
  }

  get hole() {
    return this.high > this.last;
  }

  /** The lowest seq beyond a hole, 0 if there is none. */
  get lowest() {
    return this.beyond.size && [...this.beyond.keys()].reduce((a, b) => Math.min(a, b));
  }
}
