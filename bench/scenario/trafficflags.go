package scenario

import (
	"time"

	"chatd/bench/load"
	"chatd/proto"
)

// trafficFlags are the flags of the scenarios in which pairs talk.
type trafficFlags struct {
	pairFlags `embed:""`
	Window    int     `name:"window" default:"64" help:"Messages that each sender keeps on the way, or in an open loop at most."`
	Rate      float64 `name:"rate" default:"0" help:"An open loop: so many messages per second in all, each at its time. 0: a closed loop, as fast as --window lets it."`
}

// pairFlags are those of all of them.
type pairFlags struct {
	Pairs        int `name:"pairs" default:"50" help:"Pairs of users: one sends, the other receives."`
	messageFlags `embed:""`
}

// messageFlags are the flags of all scenarios in which people talk.
type messageFlags struct {
	Size     int           `name:"size" default:"100" help:"Text of each message; the frame around it has some 100 bytes."`
	Duration time.Duration `name:"duration" default:"10s" help:"How long is measured, at most 10m."`
	Warmup   time.Duration `name:"warmup" default:"1s" help:"How long the load runs before that, unmeasured."`
	Count    int64         `name:"count" default:"0" help:"Send N messages in all, however long that takes, in place of --duration and --warmup."`
	Patience time.Duration `name:"patience" default:"15s" help:"What is on the way may take so long at the end, or while nothing else arrives; then it is lost."`
}

// validate checks the flags for texts of at most maxSize bytes, and a window
// of at most maxWindow.
func (tr *trafficFlags) validate(maxSize, maxWindow int) error {
	bad := tr.messageFlags.validate(maxSize)
	bad.check(tr.Pairs >= 1 && tr.Pairs <= maxPairs, "--pairs: %d is not between 1 and %d", tr.Pairs, maxPairs)
	bad.check(tr.Window >= 1 && tr.Window <= maxWindow, "--window: %d is not between 1 and %d", tr.Window, maxWindow)
	bad.check(tr.Count == 0 || tr.Count >= int64(tr.Pairs), "--count: %d is less than one for each of %d pairs", tr.Count, tr.Pairs)
	bad.checkRate(tr.Rate, tr.Pairs)
	return bad.join()
}

func (f *messageFlags) validate(maxSize int) (bad flagErrors) {
	bad.check(f.Size >= load.StampSize && f.Size <= maxSize, "--size: %d is not between %d and %d", f.Size, load.StampSize, maxSize)
	bad.check(f.Count >= 0 && f.Count <= maxCount, "--count: %d is not between 0 and %d", f.Count, maxCount)
	bad.check(f.Duration > 0 && f.Duration <= load.MaxDuration, "--duration: %s is not above 0 and at most %s", f.Duration, load.MaxDuration)
	bad.check(f.Patience > 0 && f.Patience <= load.MaxDuration, "--patience: %s is not above 0 and at most %s", f.Patience, load.MaxDuration)
	bad.check(f.Warmup >= 0 && f.Warmup <= load.MaxDuration, "--warmup: %s is not between 0 and %s", f.Warmup, load.MaxDuration)
	return bad
}

const rateHelp = `With --rate the loop is open: messages go out at their times whatever the server does,
and latencies count from these times, so that what a server that stalls delays is seen
(else it would be asked only when it is well: Gil Tene's "coordinated omission"; his
wrk2 counts alike). "behind schedule" is how late this program itself was.`

// maxEventBytes bounds a window of events: what waits for one connection
// beyond a bound costs it the server's patience, and events are not stored.
const maxEventBytes = 512 << 10

// eventOverhead is about what is around an event's data.
const eventOverhead = 128

// maxStreamWindow is a bound of this program; the server's is in LOGIN_ACK.
const maxStreamWindow = 16 * proto.DefaultWindow

// config returns the flags as the generator takes them.
func (tr *trafficFlags) config() load.Config {
	c := tr.messageFlags.config()
	c.SenderCount, c.Window, c.Rate = tr.Pairs, tr.Window, tr.Rate
	return c
}

// config returns the flags as the generator takes them. The caller adds how many send, and how.
func (f *messageFlags) config() load.Config {
	return load.Config{Size: f.Size, Duration: f.Duration, Warmup: f.Warmup, Count: f.Count, Patience: f.Patience}
}
