package proto

import "hash/maphash"

const (
	minKeyTable     = 64       // initial size of the table
	maxKeptKeyTable = 32 << 10 // enough for any client's frame; a larger table is dropped after its frame
)

// keySet detects duplicate keys in a frame: those of nested objects, and unknown
// keys of the top-level object. One hash table serves all objects of a frame, so
// the cost is linear in the frame's size. The hash is seeded, so that an
// attacker can't cause collisions.
type keySet struct {
	seed  maphash.Seed
	table []uint32 // index into list plus one; 0 means empty. Its length is a power of two, at least twice len(list)
	list  []keyEntry
}

type keyEntry struct {
	object uint32
	hash   uint32
	slot   uint32 // index in the table
	key    []byte
}

// reset empties the set. Its cost depends on the number of keys, not on the size
// of the table.
func (k *keySet) reset() {
	if len(k.table) > maxKeptKeyTable {
		k.table, k.list = nil, nil
		return
	}
	for i := range k.list {
		k.table[k.list[i].slot] = 0
	}
	clear(k.list) // release the references to frames
	k.list = k.list[:0]
}

// add adds key to the keys of object and reports whether it was new. The caller
// must not change key before reset.
func (k *keySet) add(object uint32, key []byte) bool {
	if k.table == nil {
		k.seed = maphash.MakeSeed()
		k.table = make([]uint32, minKeyTable)
	}
	// Mix in the object with a large odd factor. Otherwise the same few keys in
	// thousands of objects would all collide.
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
