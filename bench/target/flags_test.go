package target

import "testing"

// loopbackAddr accepts all loopback addresses.
func TestLoopback(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:6000": "127.0.0.1:6000", "127.1.2.3:1": "127.1.2.3:1",
		"localhost:6000": "127.0.0.1:6000", "[::1]:6000": "[::1]:6000",
	} {
		if got, err := loopbackAddr(addr); err != nil || got != want {
			t.Errorf("loopbackAddr(%q) = %q, %v; want %q", addr, got, err, want)
		}
	}
}
