package groupcommit

// Append is a message to be stored. The caller must not change the fields it
// sets until the sink has the Append.
//
// An Append with a Change is something else that happened in a conversation: its
// members have changed. It takes no seq and doesn't go through the queue. Only
// Group, Owner, Conv, Version, Last and Change are set, after the commit.
type Append struct {
	Sender      int64
	Group, Peer int64  // exactly one is set; Peer may be Sender, for notes
	CID, Body   []byte // owned by the Append; neither is empty
	Retry       bool   // the sender resends it, as it got no answer: it may be stored already
	Owner       any    // for the caller's use
	Run         *Run   // nil: doesn't depend on other messages

	// The outcome, valid once the sink has the Append.
	Conv, Seq int64
	Time      int64 // Unix ms
	Version   int64 // of the group's membership
	Last      int64 // the conversation's last seq after this batch
	Stored    bool  // false with Err nil: a repeat; Seq and Time are those of the stored message
	Err       error // why it was not stored: set by Step.Apply, or ErrRunFailed, or a database error

	Change *Change // nil: a message

	attemptedSeq  int64 // the seq it had in a commit of unknown outcome
	lookUp        bool  // may be in the log, even without Retry
	deferred      bool  // not tried: its conversation is locked, or must be created
	needsCreation bool  // deferred because its conversation must be created
}

// Change is a change of a group's members.
type Change struct {
	Kind                 ChangeKind
	User                 int64  // who joined or left; 0 if the group was dismissed
	UserName             string // if Joined
	GroupName, GroupDesc string // if Joined
	Count                int64  // members after the change
}

// ChangeKind is a kind of Change.
type ChangeKind uint8

// The kinds of changes. The creator of a group joins it as its first member.
const (
	Joined ChangeKind = 1 + iota // gets the messages after Append.Last
	Left                         // or was removed
	Dismissed
)

// overhead is added to the bytes of a queued message to estimate its memory.
const overhead = 128

func (a *Append) size() int { return len(a.CID) + len(a.Body) + overhead }

// Pending reports whether the message is still to be stored by this
// transaction: it has no error and is not deferred.
func (a *Append) Pending() bool { return a.Err == nil && !a.deferred }

// MayRepeat reports whether the log may have the message already.
func (a *Append) MayRepeat() bool { return a.Retry || a.lookUp }

// AnswerRepeat sets the outcome of a message that is in the log already, with
// this seq and time. If a commit of unknown outcome had given it the same seq,
// that commit has succeeded, and the message counts as stored by this batch.
func (a *Append) AnswerRepeat(seq, time int64) {
	a.Seq, a.Time = seq, time
	a.Stored = a.attemptedSeq != 0 && a.attemptedSeq == seq
}

// Defer marks the message as not tried, because another process has locked its
// conversation.
func (a *Append) Defer() { a.deferred = true }

// DeferUntilCreated marks the message as not tried, because its conversation
// doesn't exist yet.
func (a *Append) DeferUntilCreated() { a.deferred, a.needsCreation = true, true }

// reset clears the outcome of an earlier attempt.
func (a *Append) reset() {
	a.Conv, a.Seq, a.Time, a.Version, a.Last, a.Stored, a.Err = 0, 0, 0, 0, 0, false, nil
	a.deferred, a.needsCreation = false, false
}

func (a *Append) malformed() bool {
	return len(a.CID) == 0 || len(a.Body) == 0 || (a.Group == 0) == (a.Peer == 0)
}

// convKey identifies a conversation whose ID may not be known yet: by its group,
// or by two users with lo <= hi.
type convKey struct{ group, lo, hi int64 }

func convOf(a *Append) convKey {
	if a.Group != 0 {
		return convKey{group: a.Group}
	}
	return convKey{lo: min(a.Sender, a.Peer), hi: max(a.Sender, a.Peer)}
}

// byConversation splits a batch by conversation, and keeps the order in each.
func byConversation(batch []*Append) [][]*Append {
	index := make(map[convKey]int)
	var all [][]*Append
	for _, a := range batch {
		k := convOf(a)
		i, ok := index[k]
		if !ok {
			i = len(all)
			index[k] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], a)
	}
	return all
}

// splitDeferred moves the deferred messages out of a batch.
func splitDeferred(batch []*Append) (done, deferred []*Append) {
	done = batch[:0]
	for _, a := range batch {
		if a.deferred {
			deferred = append(deferred, a)
		} else {
			done = append(done, a)
		}
	}
	clear(batch[len(done):])
	return done, deferred
}
