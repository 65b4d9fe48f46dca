//go:build !linux

package target

func fileSystemName(string) string { return "an unknown file system" }
