package recent

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"sort"
	"sync"
)

// Row describes a row of the table recent.
type Row struct {
	ID                int64 // rising in the order of the commits
	Conv, Seq, Sender int64
	CID               []byte
	Size              int // bytes of the cid and the body
}

// Index knows, in memory, the rows of the table recent that aren't in messages
// yet. Any goroutine may call its methods. None blocks.
type Index struct {
	mu    sync.RWMutex
	convs map[int64][]entry // by conversation: rising ids, and consecutive seqs
	// ids has the ID of a row by the hash of its conversation, sender and cid.
	// clashes has those whose hash was taken.
	ids     map[uint64]int64
	clashes map[uint64][]int64
	last    int64 // the highest ID that is known
	// leftover is the highest ID of the rows that load has found in messages, too,
	// if there are some; otherwise it is 0.
	leftover int64
	size     int
	bytes    int
	// doubtful: some rows may have been moved to messages.
	doubtful bool
	peak     int // highest size since the maps were made

	seed maphash.Seed
	mask uint64        // which bits of a hash count; tests let hashes clash
	key  []byte        // scratch space
	wake chan struct{} // tells Folder.Run that there are rows
}

type entry struct {
	id, seq int64
	sender  int64
	hash    uint64
	size    int32
}

// NewIndex returns an empty Index.
func NewIndex() *Index {
	x := &Index{seed: maphash.MakeSeed(), mask: math.MaxUint64, wake: make(chan struct{}, 1)}
	x.clear()
	return x
}

func (x *Index) clear() {
	x.convs, x.ids, x.clashes = make(map[int64][]entry), make(map[uint64]int64), make(map[uint64][]int64)
	x.size, x.bytes, x.peak = 0, 0, 0
}

// hashOf returns the hash of a message's key. The caller has locked x.mu.
func (x *Index) hashOf(conv, sender int64, cid []byte) uint64 {
	x.key = binary.LittleEndian.AppendUint64(x.key[:0], uint64(conv))
	x.key = binary.LittleEndian.AppendUint64(x.key, uint64(sender))
	x.key = append(x.key, cid...)
	return maphash.Bytes(x.seed, x.key) & x.mask
}

// Add adds rows that were committed, in the order of their IDs. It doesn't keep
// the cids.
func (x *Index) Add(rows []Row) {
	if len(rows) == 0 {
		return
	}
	x.mu.Lock()
	for i := range rows {
		r := &rows[i]
		h := x.hashOf(r.Conv, r.Sender, r.CID)
		x.convs[r.Conv] = append(x.convs[r.Conv], entry{r.ID, r.Seq, r.Sender, h, int32(r.Size)})
		if _, taken := x.ids[h]; taken {
			x.clashes[h] = append(x.clashes[h], r.ID)
		} else {
			x.ids[h] = r.ID
		}
		x.last = max(x.last, r.ID)
		x.bytes += r.Size
	}
	x.size += len(rows)
	x.peak = max(x.peak, x.size)
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Find appends to ids those of the rows that may have a key. The caller must
// compare the key in the table: other keys can have the same hash, and another
// process may have moved the row.
func (x *Index) Find(ids []int64, conv, sender int64, cid []byte) []int64 {
	x.mu.Lock() // for hashOf
	defer x.mu.Unlock()
	h := x.hashOf(conv, sender, cid)
	if id, ok := x.ids[h]; ok {
		ids = append(append(ids, id), x.clashes[h]...)
	}
	return ids
}

// Senders reports which of two users have rows in a conversation, and the bytes of
// all its rows.
func (x *Index) Senders(conv, user, other int64) (byUser, byOther bool, bytes int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, e := range x.convs[conv] {
		byUser, byOther = byUser || e.sender == user, byOther || e.sender == other
		bytes += int(e.size)
	}
	return byUser, byOther, bytes
}

// Complete reports whether all messages of a conversation are in recent.
func (x *Index) Complete(conv int64) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows := x.convs[conv]
	return len(rows) > 0 && rows[0].seq == 1 && !x.doubtful
}

// doubt records that rows of the Index may have been moved to messages. That holds
// until Reload.
func (x *Index) doubt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.doubtful = true
}

func (x *Index) isDoubtful() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.doubtful
}

// After returns the IDs of the first rows of a conversation after a seq, at most
// limit, and the highest ID that the Index knows.
func (x *Index) After(conv, seq int64, limit int) (ids []int64, last int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows := x.convs[conv]
	rows = rows[firstAfter(rows, seq):]
	for _, e := range rows[:max(0, min(len(rows), limit))] {
		ids = append(ids, e.id)
	}
	return ids, x.last
}

// Before returns the IDs of the last rows of a conversation before a seq, at most
// limit, and the highest ID that the Index knows.
func (x *Index) Before(conv, seq int64, limit int) (ids []int64, last int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows := x.convs[conv]
	rows = rows[:firstAfter(rows, seq-1)]
	for _, e := range rows[max(0, len(rows)-max(0, limit)):] {
		ids = append(ids, e.id)
	}
	return ids, x.last
}

// firstAfter returns the position of the first row after a seq.
func firstAfter(rows []entry, seq int64) int {
	return sort.Search(len(rows), func(i int) bool { return rows[i].seq > seq })
}

// Len returns the number of rows.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.size
}

// takeLeftover returns leftover, and clears it.
func (x *Index) takeLeftover() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := x.leftover
	x.leftover = 0
	return id
}

// copied records a row that is in messages, too.
func (x *Index) copied(id int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last, x.leftover = max(x.last, id), max(x.leftover, id)
}

// Last returns the highest ID that is known.
func (x *Index) Last() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.last
}

// used returns how much there is.
func (x *Index) used() amount {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return amount{x.size, x.bytes}
}

// conversations returns those that have rows, in rising order.
func (x *Index) conversations() []int64 {
	x.mu.RLock()
	all := make([]int64, 0, len(x.convs))
	for conv := range x.convs {
		all = append(all, conv)
	}
	x.mu.RUnlock()
	slices.Sort(all)
	return all
}

// hasUntil reports whether a conversation has a row up to the ID top.
func (x *Index) hasUntil(conv, top int64) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows := x.convs[conv]
	return len(rows) > 0 && rows[0].id <= top
}

// oldest appends to ids those of the first rows of a conversation, and adds their
// sizes to bytes, until there are maxIDs or maxBytes.
func (x *Index) oldest(ids []int64, conv int64, maxIDs, bytes, maxBytes int) ([]int64, int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, e := range x.convs[conv] {
		if len(ids) >= maxIDs || bytes >= maxBytes {
			break
		}
		ids = append(ids, e.id)
		bytes += int(e.size)
	}
	return ids, bytes
}

// remove removes the first n rows of a conversation. It returns their bytes.
func (x *Index) remove(conv int64, n int) (bytes int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	rows := x.convs[conv]
	for _, e := range rows[:n] {
		x.forget(e)
		bytes += int(e.size)
	}
	x.size -= n
	x.bytes -= bytes
	switch left := rows[n:]; {
	case len(left) == 0:
		delete(x.convs, conv)
	case len(left) < cap(rows)/4:
		x.convs[conv] = slices.Clone(left) // frees the memory of the others
	default:
		x.convs[conv] = left
	}
	if x.size == 0 && x.peak > 1<<16 { // maps never shrink
		x.clear()
	}
	return bytes
}

// forget removes a row from ids or clashes.
func (x *Index) forget(e entry) {
	all := x.clashes[e.hash]
	if x.ids[e.hash] != e.id {
		i := slices.Index(all, e.id)
		all = slices.Delete(all, i, i+1)
	} else if len(all) > 0 {
		x.ids[e.hash] = all[0]
		all = slices.Delete(all, 0, 1)
	} else {
		delete(x.ids, e.hash)
		return
	}
	if len(all) > 0 {
		x.clashes[e.hash] = all
	} else {
		delete(x.clashes, e.hash)
	}
}
