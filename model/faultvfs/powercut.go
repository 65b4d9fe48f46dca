package faultvfs

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// A disk writes sectors. The operating system writes pages to it.
const (
	sector = 512
	page   = 4096
)

type opKind int

const (
	opCreate opKind = iota
	opWrite
	opTruncate
	opSync
	opSyncFailed
	opDrop
	opDelete
	opSyncDir
)

// op is an operation on a file, or on the folder.
type op struct {
	kind   opKind
	inode  int
	name   string
	offset int64 // of a write; the size of a truncate
	data   []byte
}

// state is what the operating system knows about the files, and which versions of
// them the disk may have.
type state struct {
	inodes  []*inode
	names   map[string]int   // the folder, as programs see it
	entries []map[string]int // the folders that the disk may have, oldest first; the last one equals names
}

// inode is the contents of a file.
type inode struct {
	cache []byte             // what programs read
	maybe map[int64][][]byte // by sector, unless the disk has the same as cache: what it may have, oldest first
	dirty map[int64]bool     // pages that the next sync writes
	sizes []int64            // what the disk may have as the size, oldest first; the last one is that of cache
}

func newState() *state { return &state{names: make(map[string]int)} }

func (s *state) clone() *state {
	c := &state{names: maps.Clone(s.names), entries: slices.Clone(s.entries)}
	for _, n := range s.inodes {
		m := make(map[int64][][]byte, len(n.maybe))
		for k, v := range n.maybe {
			m[k] = slices.Clone(v)
		}
		c.inodes = append(c.inodes, &inode{cache: slices.Clone(n.cache), maybe: m, dirty: maps.Clone(n.dirty), sizes: slices.Clone(n.sizes)})
	}
	return c
}

// add adds a file with contents that are synced.
func (s *state) add(b []byte) int {
	s.inodes = append(s.inodes, &inode{cache: slices.Clone(b), maybe: make(map[int64][][]byte), dirty: make(map[int64]bool), sizes: []int64{int64(len(b))}})
	return len(s.inodes) - 1
}

func (s *state) syncDir() { s.entries = []map[string]int{maps.Clone(s.names)} }

func (s *state) apply(o op) {
	switch o.kind {
	case opCreate:
		s.names[o.name] = s.add(o.data)
		s.entries = append(s.entries, maps.Clone(s.names))
	case opDelete:
		delete(s.names, o.name)
		s.entries = append(s.entries, maps.Clone(s.names))
	case opSyncDir:
		s.syncDir()
	case opWrite:
		s.inodes[o.inode].write(o.offset, o.data)
	case opTruncate:
		s.inodes[o.inode].truncate(o.offset)
	case opSync:
		s.inodes[o.inode].sync()
	case opSyncFailed:
		clear(s.inodes[o.inode].dirty) // Linux doesn't try again
	case opDrop:
		s.inodes[o.inode].drop()
	}
}

// version returns a copy of a sector of cache, with zeros behind its end.
func (n *inode) version(s int64) []byte {
	v := make([]byte, sector)
	if at := s * sector; at < int64(len(n.cache)) {
		copy(v, n.cache[at:])
	}
	return v
}

// change runs do, which changes the bytes from one offset to another in cache.
func (n *inode) change(from, to int64, do func()) {
	for s := from / sector; s*sector < to; s++ {
		if n.maybe[s] == nil {
			n.maybe[s] = [][]byte{n.version(s)}
		}
		n.dirty[s*sector/page] = true
	}
	do()
	for s := from / sector; s*sector < to; s++ {
		n.maybe[s] = append(n.maybe[s], n.version(s))
	}
	if size := int64(len(n.cache)); size != n.sizes[len(n.sizes)-1] {
		n.sizes = append(n.sizes, size)
	}
}

func (n *inode) write(offset int64, data []byte) {
	end := offset + int64(len(data))
	n.change(offset, end, func() {
		if grow := end - int64(len(n.cache)); grow > 0 {
			n.cache = append(n.cache, make([]byte, grow)...)
		}
		copy(n.cache[offset:], data)
	})
}

func (n *inode) truncate(size int64) {
	n.change(size, int64(len(n.cache)), func() {
		if size < int64(len(n.cache)) {
			n.cache = n.cache[:size]
		} else {
			n.cache = append(n.cache, make([]byte, size-int64(len(n.cache)))...)
		}
	})
}

func (n *inode) sync() {
	for p := range n.dirty {
		for s := p * page / sector; s < (p+1)*page/sector; s++ {
			delete(n.maybe, s)
		}
	}
	clear(n.dirty)
	n.sizes = n.sizes[len(n.sizes)-1:]
}

func (n *inode) drop() {
	for s, versions := range n.maybe {
		if n.dirty[s*sector/page] {
			continue
		}
		if at := s * sector; at < int64(len(n.cache)) {
			copy(n.cache[at:], versions[0])
		}
		delete(n.maybe, s)
	}
}

// Replay goes through the operations that a Disk had recorded when Replay was called,
// and makes what a power cut or a kill leaves.
type Replay struct {
	ops  []op
	at   int // operations in from
	from *state
}

// Replay returns a Replay of the operations recorded so far.
func (d *Disk) Replay() *Replay {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Replay{ops: slices.Clone(d.ops), from: d.start.clone()}
}

func (c *Replay) advance(n int) {
	for ; c.at < n; c.at++ {
		c.from.apply(c.ops[c.at])
	}
}

// Kill writes to dir, an empty folder, what a new process finds after the one that
// used the Disk was killed after n operations: all that was written, synced or not.
// It returns a Disk for dir. That Disk knows what a power cut may still take away.
//
// n must not be lower than in the last call of Kill or Cut.
func (c *Replay) Kill(dir string, n int) (*Disk, error) {
	c.advance(n)
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	s := c.from.clone()
	for name, i := range s.names {
		if err := os.WriteFile(filepath.Join(dir, name), s.inodes[i].cache, 0o600); err != nil {
			return nil, err
		}
	}
	return attach(dir, s), nil
}

// Cut writes to dir, an empty folder, what the disk may have after a power cut: n
// operations were done, and the next one had begun. Each sector that wasn't synced
// has its old or its new contents, or those in between, independently of the others;
// so does the size of each file. The entries of the folder that weren't synced
// exist up to a random one.
//
// With garbage, sectors of the write that had begun may also have random contents,
// but only in the bytes that were to be written: like SQLite by default, this
// package assumes that a disk doesn't damage bytes next to them.
//
// n must not be lower than in the last call of Kill or Cut.
func (c *Replay) Cut(dir string, n int, garbage bool, rng *rand.Rand) error {
	c.advance(n)
	began := op{kind: opSync}
	if n < len(c.ops) {
		began = c.ops[n]
	}
	switch began.kind {
	case opSync, opSyncDir, opSyncFailed, opDrop: // they change nothing until they are done
	default:
		if c.at == n {
			c.from.apply(began)
			c.at++
		}
	}
	names := c.from.entries[rng.IntN(len(c.from.entries))]
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b := c.from.inodes[names[name]].afterPowerCut(rng)
		if began.kind == opWrite && began.inode == names[name] && garbage {
			spoil(b, began, rng)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// afterPowerCut returns contents that the disk may have.
func (n *inode) afterPowerCut(rng *rand.Rand) []byte {
	// choose returns one of n versions. All old and all new are as interesting as
	// mixtures.
	choose := func(n int) int { return rng.IntN(n) }
	switch rng.IntN(4) {
	case 0:
		choose = func(int) int { return 0 }
	case 1:
		choose = func(n int) int { return n - 1 }
	case 2:
		choose = func(n int) int { // mostly new
			if rng.IntN(16) == 0 {
				return rng.IntN(n)
			}
			return n - 1
		}
	}
	b := slices.Clone(n.cache)
	size := n.sizes[choose(len(n.sizes))]
	if grow := size - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	b = b[:size]
	for _, s := range slices.Sorted(maps.Keys(n.maybe)) {
		v := n.maybe[s][choose(len(n.maybe[s]))]
		if at := s * sector; at < size {
			copy(b[at:], v)
		}
	}
	return b
}

// spoil overwrites some sectors of a write with random bytes.
func spoil(b []byte, w op, rng *rand.Rand) {
	end := min(w.offset+int64(len(w.data)), int64(len(b)))
	for s := w.offset / sector; s*sector < end; s++ {
		if rng.IntN(2) == 0 {
			continue
		}
		for i := max(s*sector, w.offset); i < min((s+1)*sector, end); i++ {
			b[i] = byte(rng.Uint32())
		}
	}
}
