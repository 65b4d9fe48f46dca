package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// preciseSleeps makes sleeps of this goroutine end within about ten
// microseconds. The runtime's timers may be a millisecond late. The caller must
// call done.
func preciseSleeps() (done func()) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // on failure sleeps are less precise
	return func() {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the default
		runtime.UnlockOSThread()
	}
}

func sleepPrecisely(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // if interrupted, the caller looks at the clock again
}
