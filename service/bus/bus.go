// Package bus is what nodes tell each other: hints that a conversation has
// grown, and notices for users. It holds nothing that matters: what is lost
// here is found again in the log, later.
//
// Redis connects nodes on several machines; Hub those that live in one process,
// and one node on a Hub is a cluster of one. The interface that the service
// expects of a bus is declared there.
package bus

import "strconv"

// Channel is what a node subscribes to: a user with a session on it, or a
// group with a member online on it.
type Channel struct {
	Group bool
	ID    int64
}

// User is the channel of a user.
func User(id int64) Channel { return Channel{ID: id} }

// Group is the channel of a group.
func Group(id int64) Channel { return Channel{Group: true, ID: id} }

// String is the channel's name between nodes: u:7 or g:7.
func (c Channel) String() string {
	if c.Group {
		return "g:" + strconv.FormatInt(c.ID, 10)
	}
	return "u:" + strconv.FormatInt(c.ID, 10)
}

// Message is one payload on one channel.
type Message struct {
	Channel Channel
	Payload Payload
}
