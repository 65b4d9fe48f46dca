package service

import (
	"context"

	"chatd/service/delivery"
	"chatd/service/groups"
	"chatd/service/login"
	"chatd/service/messages"
	"chatd/service/people"
	"chatd/service/presence"
	"chatd/service/session"
	"chatd/service/trace"
)

// Store holds the methods that the service and its packages need. model.DB
// implements it. Append, SetDelivered, SetRead and FlushSoon don't block; all
// other methods may. Errors that have an errno of their own wrap an Err value of
// package model; see session.Sessions.Errno.
type Store interface {
	session.Store
	presence.Store
	delivery.Store
	messages.Store
	people.Store
	groups.Store
	login.Store
	trace.Store

	TrimFeed(ctx context.Context) error
	FinishDeletions(ctx context.Context) error
}
