package floor

import (
	"encoding/binary"
	"errors"
)

// Role is what a connection does in its group.
type Role byte

// Roles of a connection.
const (
	none Role = iota // it only asks for an answer
	Sender
	Receiver
)

const (
	headerSize = 4
	// A body that begins with 0 is for the relay: 0, role, group number,
	// answer.
	control     = 0
	controlSize = 1 + 1 + 8
)

var errControl = errors.New("invalid frame for the relay")

// Hello returns the first frame of a connection. The relay answers with a frame
// whose body is answer. After that answer, a connection with the role Receiver
// gets everything that the group's senders send.
func Hello(role Role, group uint64, answer []byte) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(controlSize+len(answer)))
	frame = append(frame, control, byte(role))
	frame = binary.BigEndian.AppendUint64(frame, group)
	return append(frame, answer...)
}

// Ask returns a frame that the relay answers with answer, after everything that
// the connection's loop has relayed to it.
func Ask(answer []byte) []byte { return Hello(none, 0, answer) }

// command handles a frame for the relay itself.
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
