package service

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"chatd/model"
)

// sendingOverhead is about what a chat message takes between socket and ACK,
// beside its text and the copy that is pushed: the sending, its delivery, its
// places in lists, what a pushed message has around its text.
const sendingOverhead = 512

// unanswered counts what the chat messages take that this node has taken and
// not answered yet: those that wait for the log, those in a transaction, and
// those on the way back to the loops. It is the one bound for all of that, so
// that a log that falls behind, or loops that do, cost no more memory than it.
// Any loop may use it.
type unanswered struct {
	max     int64
	bytes   atomic.Int64
	refused *metrics.Counter
}

func newUnanswered(limit int64, set *metrics.Set) *unanswered {
	u := &unanswered{max: limit, refused: set.NewCounter("chatd_service_unanswered_refused_total")}
	set.NewGauge("chatd_service_unanswered_bytes", func() float64 { return float64(u.bytes.Load()) })
	return u
}

// take counts a message of x, unless there is no room for it: then it is to be
// refused. Nobody may have more than what is left for all others, so that few
// who send much can't shut out those who send little: one connection gets half
// of the room at most, two a third each, and some is always left. The bound
// may be passed by a message for each loop, as they don't wait for each other.
func (u *unanswered) take(x *client, a *model.Append) bool {
	n := cost(a)
	if left := u.max - u.bytes.Load(); n > left || x.unanswered > 0 && x.unanswered+n > left {
		u.refused.Inc()
		return false
	}
	x.unanswered += n
	u.bytes.Add(n)
	return true
}

// give is for a message that was taken and is answered.
func (u *unanswered) give(x *client, a *model.Append) {
	n := cost(a)
	x.unanswered -= n
	u.bytes.Add(-n)
}

func cost(a *model.Append) int64 { return int64(2*(len(a.CID)+len(a.Body)) + sendingOverhead) }
