package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// version is the first byte of an envelope. A node ignores envelopes with an
// unknown version, so that nodes of two releases can run in one cluster.
// Repair then finds the messages that were ignored.
const version = 1

// ErrVersion is returned for an envelope or payload that only another release
// can decode.
var ErrVersion = errors.New("bus: unknown version")

var errTruncated = errors.New("bus: message is truncated")

// senderID is a random id of a process. Redis sends a node its own messages as
// well; the node recognizes them by this id, even if another node has the same
// name.
type senderID [8]byte

// An envelope holds all messages of one Publish for one channel: the version
// (one byte), the senderID, and the payloads, each preceded by its length as a
// uvarint.

// appendHeader appends the header of an envelope to dst.
func appendHeader(dst []byte, from senderID) []byte {
	return append(append(dst, version), from[:]...)
}

// appendPayload appends a payload and its length to the envelope dst.
func appendPayload(dst []byte, p *Payload) []byte {
	const guess = 2 // the size of the length field for most payloads, in bytes
	start := len(dst)
	dst = p.Append(append(dst, make([]byte, guess)...))
	size := len(dst) - start - guess
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(size))
	if n != guess {
		dst = append(dst, length[:n]...) // grows dst by enough for any length
		copy(dst[start+n:], dst[start+guess:start+guess+size])
		dst = dst[:start+n+size]
	}
	copy(dst[start:], length[:n])
	return dst
}

// readHeader returns the sender of envelope b, and its encoded payloads.
func readHeader(b []byte) (from senderID, payloads []byte, err error) {
	switch {
	case len(b) == 0:
		return from, nil, errTruncated
	case b[0] != version:
		return from, nil, ErrVersion
	case len(b) < 1+len(from):
		return from, nil, errTruncated
	}
	copy(from[:], b[1:])
	return from, b[1+len(from):], nil
}

// nextPayload returns the first of the encoded payloads, and the rest.
func nextPayload(b []byte) (payload, rest []byte, err error) {
	d := decoder{b: b}
	payload = d.bytes()
	return payload, d.b, d.err
}

// parseChannel parses the result of Channel.String.
func parseChannel(b []byte) (Channel, error) {
	if string(b) == nodesName {
		return Nodes, nil
	}
	if len(b) > 2 && b[1] == ':' && (b[0] == 'u' || b[0] == 'g') {
		if id, err := strconv.ParseInt(string(b[2:]), 10, 64); err == nil {
			if b[0] == 'g' {
				return Group(id), nil
			}
			return User(id), nil
		}
	}
	return Channel{}, fmt.Errorf("bus: invalid channel name %.40q", b)
}
