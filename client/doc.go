// Package client is the Go SDK of chatd: it speaks the protocol of
// docs/protocol.md over TCP and keeps its promises on the client's side.
//
// A Client logs in once and from then on stays logged in: it reconnects by
// itself, sends again what was not acknowledged (with the same cid, so that
// nothing is stored twice), fills the holes in what it received, drops what
// it has seen, and tells the server with receipts how far it has come. What it
// sends to a conversation is stored in the order of the calls, whatever is
// refused or lost on the way; a message that is refused for good has no place
// in that order, and what had no answer when a program ended may be stored
// later than what the next one sends. What is left to the application are the handlers, called from one goroutine:
// each message once, and those of a conversation in order.
//
// All methods of Client may be called from any goroutine, handlers included
// but for Close and Handled. Those that take a context wait for the server's
// answer, and end with the context's error where that ends first: whether it
// was done isn't known then. The others don't block, but for Close.
//
// A refusal of the server is a *proto.Error, found with errors.As; its Errno is
// the errno of docs/protocol.md. Requests of a user who is logged in, which are
// all methods with a context but Register, the logins, Send, Flush and Handled,
// have these errors besides:
//
//   - ErrNotLoggedIn: there is no login, or it is over.
//   - ErrNotConnected: the connection is lost at the moment, or was before the
//     answer came. It isn't known then whether it was done.
//   - ErrBusy: 1,024 requests wait for an answer.
//   - ErrClosed: Close was called.
//
// Where the server says that it was too fast (errno 9) a request waits and is
// sent again for as long as its context lasts, but for ChangePassword. Ids and
// seqs lie between 1 and 2^53-1.
package client
