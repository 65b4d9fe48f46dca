package target

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystemName names the file system of a folder. In memory a sync costs
// nothing, and figures don't apply to disks.
func fileSystemName(folder string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return "an unknown file system"
	}
	switch int64(s.Type) {
	case unix.TMPFS_MAGIC:
		return "tmpfs (memory: syncs cost nothing)"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("file system %#x", int64(s.Type))
}
