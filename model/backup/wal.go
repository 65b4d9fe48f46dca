package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// Sizes and offsets in a write-ahead log: https://sqlite.org/fileformat2.html#walformat.
const (
	headerSize      = 32
	frameHeaderSize = 24
	magicLittle     = 0x377f0682 // checksums use little-endian words
	magicBig        = 0x377f0683
)

// errChanged is returned if the log isn't what SQLite's locks promise: something
// else has written to it.
var errChanged = errors.New("the write-ahead log changed while it was read: run the backup again")

// logReader reads the frames of a write-ahead log in order. A frame is a page as a
// transaction left it. When all frames are in the database file, SQLite may start
// the log over from its beginning, with another header.
type logReader struct {
	f      *os.File
	page   int64 // size of a page
	header [headerSize]byte
	order  binary.ByteOrder
	frames int64     // frames of this header that are read
	sum    [2]uint32 // checksum of the log up to there
}

// readHeader returns the header that is in the file. Before the first frame there
// is none: ok is false.
func (l *logReader) readHeader() (h [headerSize]byte, ok bool, err error) {
	n, err := l.f.ReadAt(h[:], 0)
	if n < headerSize {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return h, false, err
	}
	return h, true, nil
}

// startOver begins with the first frame behind a header.
func (l *logReader) startOver(h [headerSize]byte) error {
	switch binary.BigEndian.Uint32(h[:]) {
	case magicLittle:
		l.order = binary.LittleEndian
	case magicBig:
		l.order = binary.BigEndian
	default:
		return errChanged
	}
	l.header, l.frames, l.sum = h, 0, [2]uint32{}
	l.add(h[:24])
	if l.sum != [2]uint32{binary.BigEndian.Uint32(h[24:]), binary.BigEndian.Uint32(h[28:])} {
		return errChanged
	}
	// A page size of 64 KiB is written as 1.
	if size := int64(binary.BigEndian.Uint32(h[8:])); size != l.page && (size != 1 || l.page != 64<<10) {
		return errChanged
	}
	return nil
}

// add adds b, whose length is a multiple of 8, to the checksum.
func (l *logReader) add(b []byte) {
	s0, s1 := l.sum[0], l.sum[1]
	if l.order == binary.ByteOrder(binary.LittleEndian) {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.LittleEndian.Uint32(b) + s1
			s1 += binary.LittleEndian.Uint32(b[4:]) + s0
		}
	} else {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
		}
	}
	l.sum = [2]uint32{s0, s1}
}

// position returns where frame i begins in the file, counted from 0.
func (l *logReader) position(i int64) int64 {
	return headerSize + i*(frameHeaderSize+l.page)
}

// read reads all frames up to number end, which must be the last one of a
// transaction. It calls write once for each page in them, with its newest contents,
// which write must not keep.
func (l *logReader) read(end int64, write func(page uint32, b []byte) error) error {
	newest := make(map[uint32]int64) // page to frame
	size := frameHeaderSize + l.page
	buf := make([]byte, max(1, bufferSize/size)*size)
	commit := true
	for l.frames < end {
		chunk := buf[:min(int64(len(buf)), (end-l.frames)*size)]
		if _, err := l.f.ReadAt(chunk, l.position(l.frames)); err != nil {
			return fmt.Errorf("read the write-ahead log: %w", err)
		}
		for ; len(chunk) > 0; chunk = chunk[size:] {
			h := chunk[:frameHeaderSize]
			l.add(h[:8])
			l.add(chunk[frameHeaderSize:size])
			page := binary.BigEndian.Uint32(h)
			if page == 0 || string(h[8:16]) != string(l.header[16:24]) ||
				l.sum != [2]uint32{binary.BigEndian.Uint32(h[16:]), binary.BigEndian.Uint32(h[20:])} {
				return errChanged
			}
			commit = binary.BigEndian.Uint32(h[4:]) != 0
			newest[page] = l.frames
			l.frames++
		}
	}
	if !commit {
		return errChanged
	}
	for _, page := range slices.Sorted(maps.Keys(newest)) {
		b := buf[:l.page]
		if _, err := l.f.ReadAt(b, l.position(newest[page])+frameHeaderSize); err != nil {
			return fmt.Errorf("read the write-ahead log: %w", err)
		}
		if err := write(page, b); err != nil {
			return err
		}
	}
	return nil
}
