package proto

// stringCache interns short strings such as names and states, so that a stream
// of pushes from the same few users doesn't allocate.
type stringCache [64]string

const maxCachedString = 64 // in bytes; longer strings aren't cached

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
