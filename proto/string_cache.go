package proto

// stringCache keeps short strings that come again and again (names, states),
// so that a stream of pushes from the same few users costs no allocation.
type stringCache [64]string

const maxCachedString = 64 // bytes of a string that is kept

func (c *stringCache) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > maxCachedString {
		return string(b)
	}
	at := &c[(len(b)*31^int(b[0])*7^int(b[len(b)-1])*13^int(b[len(b)/2]))%len(c)]
	if *at != string(b) {
		*at = string(b)
	}
	return *at
}
