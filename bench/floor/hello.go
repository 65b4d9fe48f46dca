package floor

import (
	"encoding/binary"
	"errors"
)

// Role is what a connection is in its group.
type Role byte

// A connection either sends or receives.
const (
	none Role = iota // asks for an answer, and nothing else
	Sender
	Receiver
)

const (
	headerSize = 4
	// A body that begins with zero is for the relay itself: zero, the role, the
	// group's number, and an answer.
	control     = 0
	controlSize = 1 + 1 + 8
)

var errControl = errors.New("a frame for the relay makes no sense")

// Hello is the first frame of a connection. The relay answers with a frame
// whose body is answer: from then on all that senders of the group write
// reaches the connection, if it receives.
func Hello(role Role, group uint64, answer []byte) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(controlSize+len(answer)))
	frame = append(frame, control, byte(role))
	frame = binary.BigEndian.AppendUint64(frame, group)
	return append(frame, answer...)
}

// Ask is a frame that the relay answers with one whose body is answer, behind
// all that its connection's loop has relayed to it.
func Ask(answer []byte) []byte { return Hello(none, 0, answer) }

// command carries out a frame for the relay itself.
func (c *conn) command(body []byte) error {
	if len(body) <= controlSize {
		return errControl
	}
	switch role := Role(body[1]); role {
	case none:
	case Sender, Receiver:
		if err := c.loop.relay.join(c, role, binary.BigEndian.Uint64(body[2:])); err != nil {
			return err
		}
	default:
		return errControl
	}
	answer := body[controlSize:]
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, headerSize+len(answer)), uint32(len(answer)))
	c.write(append(frame, answer...))
	return nil
}
