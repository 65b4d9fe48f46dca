package proto_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"chatd/proto"
)

// FrameLen accepts the lengths 1 to MaxRequest, and refuses all others. That includes
// the length whose bytes are "GET ", by which the server tells WebSocket from TCP.
func TestFrameLen(t *testing.T) {
	for size, ok := range map[uint32]bool{0: false, 1: true, 2: true, proto.MaxRequest: true, proto.MaxRequest + 1: false,
		proto.MaxResponse: false, 1 << 31: false, 1<<32 - 1: false, binary.BigEndian.Uint32([]byte("GET ")): false} {
		n, err := proto.FrameLen(binary.BigEndian.AppendUint32(nil, size))
		switch {
		case ok && (err != nil || n != int(size)):
			t.Errorf("FrameLen(%d) = %d, %v; want %d, nil", size, n, err, size)
		case !ok && (err == nil || err.Errno != proto.BadLength || !strings.Contains(err.Message, "1 to 65536 bytes")):
			t.Errorf("FrameLen(%d) = %d, %v; want errno %d that names the range", size, n, err, proto.BadLength)
		}
	}
}

// ReadFrame reads frame by frame, reuses its buffer, and tells an end of the stream
// between two frames from one within a frame.
func TestReadFrame(t *testing.T) {
	large := bytes.Repeat([]byte("x"), proto.MaxResponse)
	stream := proto.AppendFrame(proto.AppendFrame(proto.AppendFrame(nil, []byte("{}")), large), []byte(`{"msgid":18}`))
	r := bufio.NewReader(bytes.NewReader(stream))
	var buf []byte
	for _, want := range [][]byte{[]byte("{}"), large, []byte(`{"msgid":18}`)} {
		body, err := proto.ReadFrame(r, buf)
		if err != nil || !bytes.Equal(body, want) {
			t.Fatalf("ReadFrame = %d bytes, %v; want %d bytes, nil", len(body), err, len(want))
		}
		buf = body
	}
	if _, err := proto.ReadFrame(r, buf); err != io.EOF {
		t.Errorf("ReadFrame at the end = %v, want io.EOF", err)
	}
	if cap(buf) < proto.MaxResponse {
		t.Errorf("capacity of the buffer = %d, want at least %d: it wasn't reused", cap(buf), proto.MaxResponse)
	}
	for _, cut := range []int{1, 3, 4, 5} {
		if _, err := proto.ReadFrame(bufio.NewReader(bytes.NewReader(stream[:cut])), nil); err != io.ErrUnexpectedEOF {
			t.Errorf("ReadFrame of a stream cut after %d bytes = %v, want io.ErrUnexpectedEOF", cut, err)
		}
	}
	for _, size := range []uint32{0, proto.MaxResponse + 1, 1<<32 - 1} {
		_, err := proto.ReadFrame(bufio.NewReader(bytes.NewReader(binary.BigEndian.AppendUint32(nil, size))), nil)
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("ReadFrame of a frame of %d bytes = %v, want an error other than EOF", size, err)
		}
	}
}
