// Command chatd is a chat server: people register, log in, add friends, talk
// one to one and in groups, and find what they missed when they come back.
package main

import (
	"os"

	"chatd/internal/daemon"
)

// stamp is the version. The Makefile sets it through the linker. It is empty in
// other builds.
var stamp string

func main() {
	os.Exit(daemon.Main(stamp, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
