// Package bus carries hints, which are what nodes of a cluster send each other:
// new messages, logins, changes of groups, presence, and notices and events to
// push. A hint may get lost. Whatever must survive is in the database too, and
// events are not promised to arrive.
//
// Redis connects nodes on several machines. Hub connects nodes in one process;
// a single node uses a Hub of its own.
package bus

import (
	"context"
	"strconv"
)

// Bus sends messages to other nodes. Node and Redis implement it. Await and Publish
// may block for up to 500 ms, or until their context ends; the other methods don't
// block. All may be called from any goroutine.
type Bus interface {
	// Subscribe and Unsubscribe count: as many calls of Unsubscribe as there
	// were of Subscribe end the subscription.
	Subscribe(Channel)
	Unsubscribe(Channel)
	// Await returns once all subscriptions made before the call are active.
	Await(context.Context) error
	// MayHaveSubscribers reports whether another node may have subscribed to
	// the channel. If not, the caller need not encode a message for it.
	MayHaveSubscribers(Channel) bool
	// Publish sends messages to all other nodes, in order.
	Publish(context.Context, []Message) error
}

// Channel is what a node subscribes to: a user with a session on the node, a
// group with a member who is online there, or Nodes.
type Channel struct {
	Kind ChannelKind
	ID   int64 // of the user or group; 0 for Nodes
}

// ChannelKind says what a channel is about.
type ChannelKind byte

const (
	UserChannel ChannelKind = iota
	GroupChannel
	NodesChannel
)

// Nodes is the channel that all nodes subscribe to. On it, they announce
// themselves and their users.
var Nodes = Channel{Kind: NodesChannel}

// User returns the channel of a user.
func User(id int64) Channel { return Channel{Kind: UserChannel, ID: id} }

// Group returns the channel of a group.
func Group(id int64) Channel { return Channel{Kind: GroupChannel, ID: id} }

// String returns the name that the bus uses for the channel: u:7, g:7 or nodes.
func (c Channel) String() string {
	switch c.Kind {
	case NodesChannel:
		return nodesName
	case GroupChannel:
		return "g:" + strconv.FormatInt(c.ID, 10)
	default:
		return "u:" + strconv.FormatInt(c.ID, 10)
	}
}

const nodesName = "nodes"

// Message is one payload on one channel.
type Message struct {
	Channel Channel
	Payload Payload
}
