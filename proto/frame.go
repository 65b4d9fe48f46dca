package proto

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// AppendFrame appends body to dst as one TCP frame: a length of four bytes,
// big-endian, then the body.
func AppendFrame(dst, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(dst, body...)
}

// BeginFrame appends room for the length of a TCP frame to dst. The caller appends
// the body, and then calls EndFrame.
func BeginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// EndFrame sets the length of the last frame in b, which begins at start.
func EndFrame(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-HeaderSize))
}

// FrameLen returns the body length that head, the first HeaderSize bytes of a
// client's frame, announces. A length of 0 or above MaxRequest is a BadLength
// error: the caller must close the connection, because it can't find the next
// frame.
func FrameLen(head []byte) (n int, err *Error) {
	size := binary.BigEndian.Uint32(head)
	if size == 0 || size > MaxRequest {
		return 0, Errorf(BadLength, "the frame length must be 1 to %d bytes, got %d", MaxRequest, size)
	}
	return int(size), nil
}

// ReadFrame reads one frame that a server sent, and returns its body. It is for
// clients. It uses buf if the body fits, and allocates otherwise; pass the result
// to the next call. It blocks until the frame has arrived.
//
// The error is io.EOF if the stream ends between frames, and io.ErrUnexpectedEOF if
// it ends within one. ReadFrame also returns the errors of r, and an error if the
// length is 0 or more than MaxResponse.
func ReadFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	head, err := r.Peek(HeaderSize)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size := binary.BigEndian.Uint32(head)
	if size == 0 || size > MaxResponse {
		return nil, fmt.Errorf("proto: server frame of %d bytes; want 1 to %d", size, MaxResponse)
	}
	if _, err := r.Discard(HeaderSize); err != nil {
		return nil, err
	}
	if cap(buf) < int(size) {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}
