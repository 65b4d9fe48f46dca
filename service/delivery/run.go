package delivery

import (
	"chatd/proto"
	"chatd/reactor"
)

// A run is a list of updates that are delivered at once: either a single update, or
// messages that follow each other in one conversation, were sent by one session or
// come from another node, and whose frames are adjacent in memory.

// maxRun is the most bytes of a run, so that a connection doesn't get more at once
// than it would write in a turn anyway.
const maxRun = 128 << 10

// nextRun returns the run at the beginning of list.
func nextRun(list []*update) []*update {
	n := 1
	for n < len(list) && list[n].continues(list[n-1]) && list[n].end-list[0].start <= maxRun {
		n++
	}
	return list[:n]
}

// continues reports whether up can follow before in a run.
func (up *update) continues(before *update) bool {
	return up.body != nil && before.body != nil && up.frames == before.frames && up.start == before.end &&
		up.conv == before.conv && up.seq == before.seq+1 && up.version == before.version &&
		(up.from == nil) == (before.from == nil) && (up.from == nil || up.from.Session == before.from.Session)
}

// frames has the frames of all messages that are delivered together. All of them
// must be added before a loop reads them.
type frames struct{ b []byte }

// add encodes the push of up. appendBody appends its body. If the frames have to be
// moved in memory, bodies that were added before stay valid.
func (f *frames) add(up *update, appendBody func(dst []byte) []byte) {
	up.frames, up.start = f, len(f.b)
	f.b = appendBody(proto.BeginFrame(f.b))
	up.end = len(f.b)
	proto.EndFrame(f.b, up.start)
	up.body = f.b[up.start+proto.HeaderSize : up.end : up.end]
}

// framesOf returns the frames of a run.
func framesOf(run []*update) *reactor.Frames {
	first, last := run[0], run[len(run)-1]
	return reactor.NewFrames(first.frames.b[first.start:last.end], len(run))
}
