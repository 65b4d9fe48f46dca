package daemon

import (
	"net/netip"
	"testing"
)

// The command and the addresses in the welcome work when typed at that
// terminal.
func TestWelcome(t *testing.T) {
	for called, want := range map[string]string{"bin/chatd": "bin/chat", "./chatd": "./chat", "/usr/local/bin/chatd": "/usr/local/bin/chat", "chatd": "chat"} {
		if got := chatCommand(called); got != want {
			t.Errorf("chatCommand(%q) = %q, want %q", called, got, want)
		}
	}
	for addr, want := range map[string]string{"0.0.0.0:6000": "127.0.0.1:6000", "[::]:8080": "127.0.0.1:8080", "10.0.0.1:1": "10.0.0.1:1", "[::1]:1": "[::1]:1"} {
		if got := reachable(netip.MustParseAddrPort(addr)).String(); got != want {
			t.Errorf("reachable(%s) = %s, want %s", addr, got, want)
		}
	}
}
