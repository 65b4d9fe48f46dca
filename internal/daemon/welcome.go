package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"chatd/internal/setting"
)

// welcome says to who sits at the terminal what the log says to all others:
// where to point a client. page is where the pages are; invalid: nowhere.
func (n *node) welcome(addr, page netip.AddrPort) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nchatd serves on %s, its store is %s.\n\n", addr, setting.Redacted(n.cfg.Store.DB))
	if page.IsValid() {
		fmt.Fprintf(&b, "  In a browser     http://%s/\n", reachable(page))
	}
	chat := reachable(addr)
	fmt.Fprintf(&b, "  In a terminal    %s %s %d\n", chatCommand(os.Args[0]), chat.Addr(), chat.Port())
	b.WriteString("  To end it        Ctrl-C; what was said is kept\n\n")
	fmt.Fprint(n.cfg.terminal, b.String())
}

// reachable is this machine's address for a server that listens on all.
func reachable(addr netip.AddrPort) netip.AddrPort {
	if addr.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	}
	return addr
}

// chatCommand is the terminal client as it is called where chatd was called
// so: the two are built side by side.
func chatCommand(chatd string) string {
	if !strings.ContainsRune(chatd, filepath.Separator) {
		return "chat"
	}
	return filepath.Dir(chatd) + string(filepath.Separator) + "chat" // Join would take the "./" away, which a shell needs
}
