package reactor

import (
	"math/bits"
	"sync"
)

// Sizes of pooled buffers: powers of two. Larger ones are left to the
// garbage collector, so that one burst doesn't stay in memory.
const (
	minBufferBits = 10
	maxBufferBits = 20
)

// buffer is a pooled slice. Whoever holds it owns it; nil means none, which is
// what a connection has while it is idle.
type buffer struct{ b []byte }

// buffers is the pool of all loops.
type buffers struct {
	classes [maxBufferBits - minBufferBits + 1]sync.Pool
}

// get has an empty buffer with room for n bytes.
func (p *buffers) get(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), minBufferBits)
	if class > maxBufferBits {
		return &buffer{make([]byte, 0, n)}
	}
	if b, ok := p.classes[class-minBufferBits].Get().(*buffer); ok {
		b.b = b.b[:0]
		return b
	}
	return &buffer{make([]byte, 0, 1<<class)}
}

// put takes b back; nil is fine.
func (p *buffers) put(b *buffer) {
	if b == nil {
		return
	}
	// By the size it has for sure: appending may have given it an odd one.
	class := bits.Len(uint(cap(b.b))) - 1
	if class >= minBufferBits && class <= maxBufferBits {
		p.classes[class-minBufferBits].Put(b)
	}
}

// grow has a buffer with what b holds and room for n bytes more. b, which may
// be nil, is no longer the caller's.
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
