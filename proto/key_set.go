package proto

import "hash/maphash"

const (
	minKeyTable     = 64       // places of a fresh table
	maxKeptKeyTable = 32 << 10 // enough for any client's frame; a larger one is dropped after its frame
)

// keySet finds duplicates among the keys of a frame's objects: those of
// nested ones, and those of the frame's own that are no field of ours. One
// hash table serves all objects of a frame, so that 64 KiB of keys cost what
// 64 KiB of anything cost; the hash is seeded, so that nobody can aim at it.
type keySet struct {
	seed  maphash.Seed
	table []uint32 // index into list plus one, 0: free; a power of two long, at most half full
	list  []keyEntry
}

type keyEntry struct {
	object uint32
	hash   uint32
	slot   uint32 // in the table
	key    []byte
}

// reset costs what the frame before has added, however large the table is.
func (k *keySet) reset() {
	if len(k.table) > maxKeptKeyTable {
		k.table, k.list = nil, nil
		return
	}
	for i := range k.list {
		k.table[k.list[i].slot] = 0
	}
	clear(k.list) // or it would keep frames alive
	k.list = k.list[:0]
}

// add reports whether object did not have key yet. The key must stay as it is
// until reset.
func (k *keySet) add(object uint32, key []byte) bool {
	if k.table == nil {
		k.seed = maphash.MakeSeed()
		k.table = make([]uint32, minKeyTable)
	}
	// The object is mixed in by a large odd factor, or the same few keys in
	// thousands of objects would all fall on the same places.
	hash := uint32(maphash.Bytes(k.seed, key)) ^ object*0x9e3779b1
	mask := uint32(len(k.table) - 1)
	at := hash & mask
	for ; k.table[at] != 0; at = (at + 1) & mask {
		e := &k.list[k.table[at]-1]
		if e.hash == hash && e.object == object && string(e.key) == string(key) {
			return false
		}
	}
	k.list = append(k.list, keyEntry{object, hash, at, key})
	k.table[at] = uint32(len(k.list))
	if len(k.list)*2 > len(k.table) {
		k.grow()
	}
	return true
}

func (k *keySet) grow() {
	k.table = make([]uint32, 2*len(k.table))
	mask := uint32(len(k.table) - 1)
	for i := range k.list {
		at := k.list[i].hash & mask
		for k.table[at] != 0 {
			at = (at + 1) & mask
		}
		k.table[at] = uint32(i + 1)
		k.list[i].slot = at
	}
}
