// Command clockd builds a chatd with a clock that the crash tester can step.
// Usage: go run ./internal/testbuild/clockd FILE
package main

import (
	"fmt"
	"os"

	"chatd/internal/testbuild"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/testbuild/clockd FILE")
		os.Exit(2)
	}
	if err := testbuild.Clock(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
