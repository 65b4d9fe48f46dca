package reactor

import (
	"math/bits"
	"sync"
)

// Pooled buffers have sizes that are powers of two. Larger ones are left to the
// garbage collector, so that a burst doesn't stay in memory.
const (
	minBufferBits = 10
	maxBufferBits = 20
)

// buffer is a slice. A pooled one has one owner at a time. A shared one is never
// modified: its slice has no capacity left, so grow copies it. Idle connections have
// nil buffers.
type buffer struct {
	b      []byte
	shared bool
}

// buffers is the pool of buffers for all loops.
type buffers struct {
	classes [maxBufferBits - minBufferBits + 1]sync.Pool
}

// get returns an empty buffer with room for n bytes.
func (p *buffers) get(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), minBufferBits)
	if class > maxBufferBits {
		return &buffer{b: make([]byte, 0, n)}
	}
	if b, ok := p.classes[class-minBufferBits].Get().(*buffer); ok {
		b.b = b.b[:0]
		return b
	}
	return &buffer{b: make([]byte, 0, 1<<class)}
}

// put returns b to the pool, unless it is shared. b may be nil.
func (p *buffers) put(b *buffer) {
	if b == nil || b.shared {
		return
	}
	// Round down: append may have chosen a capacity between two sizes.
	class := bits.Len(uint(cap(b.b))) - 1
	if class >= minBufferBits && class <= maxBufferBits {
		p.classes[class-minBufferBits].Put(b)
	}
}

// grow returns a buffer with the contents of b and room for n more bytes. The
// caller must no longer use b, which may be nil.
func (p *buffers) grow(b *buffer, n int) *buffer {
	if b == nil {
		return p.get(n)
	}
	if cap(b.b)-len(b.b) >= n {
		return b
	}
	big := p.get(max(len(b.b)+n, 2*cap(b.b)))
	big.b = append(big.b, b.b...)
	p.put(b)
	return big
}
