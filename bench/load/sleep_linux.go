package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// preciseSleeps has this goroutine's naps end within some ten microseconds: the
// runtime's own timers may be a millisecond late. What it returns ends that.
func preciseSleeps() (done func()) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // then naps are less precise
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default
		runtime.UnlockOSThread()
	}
}

func sleepPrecisely(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // interrupted: who naps looks at the time
}
