// Package testbuild builds the programs that tests run as processes of their
// own.
package testbuild

import (
	"fmt"
	"os"
	"os/exec"
)

// Program builds a package of the module, such as "chatd/client/chat", into the
// file at path. It uses the flags of `make build`: the tests then run what is
// shipped, and all of them share the compiled packages in the build cache. More
// flags of go build may follow. It blocks for seconds, or for a minute if the
// cache is empty. Its errors contain the output of go build.
func Program(path, pkg string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
