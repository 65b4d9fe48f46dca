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

// policyFile is a script that Debian's packages run when they are installed. If
// it exits with 101, they don't start their service.
const policyFile = "/usr/sbin/policy-rc.d"

// Ensure installs the missing ones of these programs with apt-get, if this user
// may, and writes what it does to log. If a program is still missing, it returns
// a *MissingError. It blocks, for about a minute if it installs something.
func Ensure(ctx context.Context, log io.Writer, programs ...string) error {
	packages, missing := missingPackages(programs)
	if missing == nil {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Getuid() != 0 {
		return missing
	}
	fmt.Fprintf(log, "installing missing packages: %s\n", strings.Join(packages, " "))
	// Ignore the error if everything is there afterwards.
	err = aptInstall(ctx, apt, packages)
	if _, missing := missingPackages(programs); missing != nil {
		return errors.Join(missing, err)
	}
	return nil
}

// missingPackages returns the packages of the programs that aren't installed,
// and the error of the first missing program.
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

// aptInstall installs packages without starting their services.
func aptInstall(ctx context.Context, apt string, packages []string) (err error) {
	policy, err := os.OpenFile(policyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, os.Remove(policyFile)) }()
		_, err = policy.WriteString("#!/bin/sh\nexit 101\n")
		if err = errors.Join(err, policy.Close()); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist): // if the file exists, keep it: the machine's owner made it
		return err
	}
	for _, args := range [][]string{
		{"update", "-qq"},
		append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // if killed, it would leave a package half installed
		// If the update fails, the old package lists may be good enough.
		if out, err := cmd.CombinedOutput(); err != nil && args[0] != "update" {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
