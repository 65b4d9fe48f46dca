package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// version is the first byte of an envelope. A node ignores envelopes of
// versions that it does not know, so that nodes of two releases can run side
// by side: what they don't tell each other, the repair sweep finds.
const version = 1

// ErrVersion is returned for what a node of another release says.
var ErrVersion = errors.New("bus: an unknown version")

var errShort = errors.New("bus: cut short")

// sender is a random id of a process. A node knows its own echoes by it,
// whatever nodes are called.
type sender [8]byte

// An envelope is all that one Publish has for one channel: the version, the
// sender, and the payloads, each behind its length.

// openEnvelope begins an envelope behind dst.
func openEnvelope(dst []byte, from sender) []byte {
	return append(append(dst, version), from[:]...)
}

// addPayload puts one payload more into the envelope that dst ends with.
func addPayload(dst []byte, p *Payload) []byte {
	const guess = 2 // bytes of the length, for most payloads
	start := len(dst)
	dst = p.Append(append(dst, make([]byte, guess)...))
	size := len(dst) - start - guess
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(size))
	if n != guess {
		dst = append(dst, length[:n]...) // makes room for the longest
		copy(dst[start+n:], dst[start+guess:start+guess+size])
		dst = dst[:start+n+size]
	}
	copy(dst[start:], length[:n])
	return dst
}

// readEnvelope returns who has sent b, and its payloads, still encoded.
func readEnvelope(b []byte) (from sender, payloads []byte, err error) {
	switch {
	case len(b) == 0:
		return from, nil, errShort
	case b[0] != version:
		return from, nil, ErrVersion
	case len(b) < 1+len(from):
		return from, nil, errShort
	}
	copy(from[:], b[1:])
	return from, b[1+len(from):], nil
}

// nextPayload returns the first of the payloads, still encoded, and the rest.
func nextPayload(b []byte) (payload, rest []byte, err error) {
	d := decoder{b: b}
	payload = d.bytes()
	return payload, d.b, d.err
}

// parseChannel reads what Channel.String wrote.
func parseChannel(b []byte) (Channel, error) {
	if len(b) > 2 && b[1] == ':' && (b[0] == 'u' || b[0] == 'g') {
		if id, err := strconv.ParseInt(string(b[2:]), 10, 64); err == nil {
			return Channel{Group: b[0] == 'g', ID: id}, nil
		}
	}
	return Channel{}, fmt.Errorf("bus: not a channel's name: %.40q", b)
}
