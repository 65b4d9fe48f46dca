package services

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// policyFile, where it exits with 101, keeps Debian's packages from starting
// what they install: whoever needs a service starts it.
const policyFile = "/usr/sbin/policy-rc.d"

// Ensure installs what is missing of some programs, if this user of this
// machine may, and tells say about it. What is missing after all is a
// *MissingError. It blocks, for a minute or so where it installs.
func Ensure(ctx context.Context, say io.Writer, programs ...string) error {
	packages, missing := missingPackages(programs)
	if missing == nil {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Getuid() != 0 {
		return missing
	}
	fmt.Fprintf(say, "installing what is missing here: %s\n", strings.Join(packages, " "))
	// A failure shows in what is missing still.
	err = aptInstall(ctx, apt, packages)
	if _, missing := missingPackages(programs); missing != nil {
		return errors.Join(missing, err)
	}
	return nil
}

// lacking lists the packages of the programs that aren't installed. The error
// is that of the first.
func missingPackages(programs []string) (packages []string, first error) {
	for _, program := range programs {
		_, err := Find(program)
		if first == nil {
			first = err
		}
		if missing := (*MissingError)(nil); errors.As(err, &missing) {
			packages = append(packages, strings.Fields(missing.Package)...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages), first
}

func aptInstall(ctx context.Context, apt string, packages []string) (err error) {
	policy, err := os.OpenFile(policyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, os.Remove(policyFile)) }()
		_, err = policy.WriteString("#!/bin/sh\nexit 101\n")
		if err = errors.Join(err, policy.Close()); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist): // there is one: the machine's owner has decided
		return err
	}
	for _, args := range [][]string{
		{"update", "-qq"},
		append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // killed, it would leave a package half installed
		// An update that fails may leave lists that are good enough.
		if out, err := cmd.CombinedOutput(); err != nil && args[0] != "update" {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
