package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"chatd/internal/setting"
)

// welcome prints on the terminal where to connect a client, in place of the log
// lines that say so. page is the address of the web client; it is
// invalid if there is none.
func (n *node) welcome(addr, page netip.AddrPort) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nchatd is listening on %s. Database: %s\n\n", addr, setting.Redacted(n.cfg.Store.DB))
	if page.IsValid() {
		fmt.Fprintf(&b, "  In a browser     http://%s/\n", reachable(page))
	}
	chat := reachable(addr)
	fmt.Fprintf(&b, "  In a terminal    %s %s %d\n", chatCommand(os.Args[0]), chat.Addr(), chat.Port())
	b.WriteString("  To stop it       Ctrl-C; users and messages are kept\n\n")
	fmt.Fprint(n.cfg.terminal, b.String())
}

// reachable returns an address at which this machine reaches a server that
// listens on addr.
func reachable(addr netip.AddrPort) netip.AddrPort {
	if addr.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	}
	return addr
}

// chatCommand returns the command that starts the terminal client, given the
// command that started chatd: the two programs are in the same folder.
func chatCommand(chatd string) string {
	if !strings.ContainsRune(chatd, filepath.Separator) {
		return "chat"
	}
	return filepath.Dir(chatd) + string(filepath.Separator) + "chat" // Join would remove "./", which the shell needs
}
