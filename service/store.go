package service

import (
	"chatd/service/delivery"
	"chatd/service/groups"
	"chatd/service/login"
	"chatd/service/messages"
	"chatd/service/people"
	"chatd/service/presence"
	"chatd/service/session"
	"chatd/service/trace"
)

// Store is what the service asks of the data: the sum of what its packages ask.
// model.DB implements it. Append, SetDelivered, SetRead and FlushSoon never block; all
// other methods may. Errors that clients are told are the Err values of model.
type Store interface {
	session.Store
	presence.Store
	delivery.Store
	messages.Store
	people.Store
	groups.Store
	login.Store
	trace.Store
}
