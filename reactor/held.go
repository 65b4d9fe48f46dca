package reactor

import "chatd/proto"

// minHeldShare is what each connection may have held however many there are:
// the largest frame.
const minHeldShare = proto.HeaderSize + proto.MaxRequest

// mayHold says whether a connection that has so many bytes held may have n
// more: up to its own bound always where there is room, and where all
// connections together have too many, up to its share of the room.
func (c *Conn) mayHold(have, n int) (kickReason, bool) {
	r := c.l.r
	switch {
	case have+n > r.cfg.MaxHeld:
		return heldTooMuch, false
	case r.held.Load()+int64(n) <= int64(r.cfg.MaxHeldAll):
		return 0, true
	}
	share := max(int64(r.cfg.MaxHeldAll)/max(r.open.Load(), 1), minHeldShare)
	return heldByAll, int64(have+n) <= share
}
