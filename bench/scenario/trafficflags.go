package scenario

import (
	"time"

	"chatd/bench/load"
	"chatd/proto"
)

// trafficFlags are the flags of scenarios with pairs and a window.
type trafficFlags struct {
	pairFlags `embed:""`
	Window    int     `name:"window" default:"64" help:"Unacknowledged messages that each sender keeps in flight. In an open loop, the maximum."`
	Rate      float64 `name:"rate" default:"0" help:"Open loop: messages per second in all, sent at fixed times. 0: closed loop, as fast as --window allows."`
}

type pairFlags struct {
	Pairs        int `name:"pairs" default:"50" help:"Pairs of users. One sends, the other receives."`
	messageFlags `embed:""`
}

// messageFlags are the flags of scenarios that send messages.
type messageFlags struct {
	Size     int           `name:"size" default:"100" help:"Bytes of text in each message. The frame adds about 100 bytes."`
	Duration time.Duration `name:"duration" default:"10s" help:"Measured time, at most 10m."`
	Warmup   time.Duration `name:"warmup" default:"1s" help:"Unmeasured time before that."`
	Count    int64         `name:"count" default:"0" help:"Send this many messages in all and measure until they have arrived, instead of --duration and --warmup. 0: off."`
	Patience time.Duration `name:"patience" default:"15s" help:"How long to wait for missing messages, at the end or while nothing else arrives, before they count as lost."`
}

// validate checks the flags. Texts may have maxSize bytes, the window maxWindow
// messages.
func (tr *trafficFlags) validate(maxSize, maxWindow int) error {
	bad := tr.messageFlags.validate(maxSize)
	bad.check(tr.Pairs >= 1 && tr.Pairs <= maxPairs, "--pairs: %d is not between 1 and %d", tr.Pairs, maxPairs)
	bad.check(tr.Window >= 1 && tr.Window <= maxWindow, "--window: %d is not between 1 and %d", tr.Window, maxWindow)
	bad.check(tr.Count == 0 || tr.Count >= int64(tr.Pairs), "--count: %d is less than one message for each of %d pairs", tr.Count, tr.Pairs)
	bad.checkRate(tr.Rate, tr.Pairs)
	return bad.join()
}

func (f *messageFlags) validate(maxSize int) (bad flagErrors) {
	bad.check(f.Size >= load.StampSize && f.Size <= maxSize, "--size: %d is not between %d and %d", f.Size, load.StampSize, maxSize)
	bad.check(f.Count >= 0 && f.Count <= maxCount, "--count: %d is not between 0 and %d", f.Count, maxCount)
	bad.check(f.Duration > 0 && f.Duration <= load.MaxDuration, "--duration: %s is out of range: above 0, at most %s", f.Duration, load.MaxDuration)
	bad.check(f.Patience > 0 && f.Patience <= load.MaxDuration, "--patience: %s is out of range: above 0, at most %s", f.Patience, load.MaxDuration)
	bad.check(f.Warmup >= 0 && f.Warmup <= load.MaxDuration, "--warmup: %s is not between 0 and %s", f.Warmup, load.MaxDuration)
	return bad
}

const rateHelp = `With --rate the loop is open: messages are sent at fixed times whatever the server does,
and latencies count from these times. So a stalling server delays everything due
meanwhile, and that shows. (A closed loop would send less and hide it, which Gil Tene
calls "coordinated omission"; his wrk2 measures the same way.) "behind schedule" is how
late chatbench itself was.`

// maxEventBytes bounds the events in flight to one receiver. The server closes
// connections that fall too far behind, and doesn't store events.
const maxEventBytes = 512 << 10

// eventOverhead is roughly the size of an event without its data.
const eventOverhead = 128

// maxStreamWindow bounds --window. The server's own limit is in LOGIN_ACK.
const maxStreamWindow = 16 * proto.DefaultWindow

// config returns the flags as a generator takes them.
func (tr *trafficFlags) config() load.Config {
	c := tr.messageFlags.config()
	c.SenderCount, c.Window, c.Rate = tr.Pairs, tr.Window, tr.Rate
	return c
}

// config returns the flags as a generator takes them, except who sends, and
// how.
func (f *messageFlags) config() load.Config {
	return load.Config{Size: f.Size, Duration: f.Duration, Warmup: f.Warmup, Count: f.Count, Patience: f.Patience}
}
