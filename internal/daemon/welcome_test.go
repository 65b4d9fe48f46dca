package daemon

import (
	"net/netip"
	"testing"
)

// What is said to somebody at a terminal can be typed there.
func TestWelcomeWords(t *testing.T) {
	for called, want := range map[string]string{"bin/chatd": "bin/chat", "./chatd": "./chat", "/usr/local/bin/chatd": "/usr/local/bin/chat", "chatd": "chat"} {
		if got := chatCommand(called); got != want {
			t.Errorf("chatd called as %q: %q, want %q", called, got, want)
		}
	}
	for addr, want := range map[string]string{"0.0.0.0:6000": "127.0.0.1:6000", "[::]:8080": "127.0.0.1:8080", "10.0.0.1:1": "10.0.0.1:1", "[::1]:1": "[::1]:1"} {
		if got := reachable(netip.MustParseAddrPort(addr)).String(); got != want {
			t.Errorf("who listens on %s is reached at %s, want %s", addr, got, want)
		}
	}
}
