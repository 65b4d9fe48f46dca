package model

import "sync/atomic"

// cache is a bounded map for one goroutine; any goroutine may load its size. In
// a full cache, a new entry replaces an arbitrary one.
type cache[K comparable, V any] struct {
	entries map[K]V
	max     int
	size    atomic.Int64
}

func newCache[K comparable, V any](max int) *cache[K, V] {
	return &cache[K, V]{entries: make(map[K]V), max: max}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	v, ok := c.entries[k]
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	if _, ok := c.entries[k]; !ok && len(c.entries) >= c.max {
		for old := range c.entries {
			delete(c.entries, old)
			break
		}
	}
	c.entries[k] = v
	c.size.Store(int64(len(c.entries)))
}
