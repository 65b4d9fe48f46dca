// Package client is the Go SDK of chatd. It implements the client's side of
// docs/protocol.md over TCP.
//
// A Client logs in once and stays logged in. It reconnects, resends
// unacknowledged messages (with the same cid, so that none is stored twice),
// reads missing messages, drops duplicates, and sends receipts. The application
// provides handlers. One goroutine calls them: once for each message, and in
// order within a conversation.
//
// Messages to one conversation are stored in the order of the calls, even if
// some have to be sent again. There are two exceptions: a message that is refused
// for good isn't stored, and a message that had no answer when the program ended
// may be stored after messages of the next run.
//
// # Goroutines and blocking
//
// All methods of Client may be called from any goroutine. Handlers must not call
// Close or Handled. Methods with a context wait for the server's answer. If the
// context ends first, they return its error, and the request may or may not have
// been executed. The other methods don't block, except Close.
//
// # Errors
//
// A refusal by the server is a *proto.Error; use errors.As. Its Errno is the
// errno of docs/protocol.md. All methods with a context that need a login (all
// except Register, the logins, Send, Flush and Handled) also return these errors:
//
//   - ErrNotLoggedIn: not logged in, or no longer.
//   - ErrNotConnected: there is no connection, or it was lost before the answer. The request may or may not have been executed.
//   - ErrBusy: 1,024 requests are waiting for an answer.
//   - ErrClosed: Close was called.
//
// If the server answers "too fast" (errno 9), a request waits and is sent again,
// until its context ends. ChangePassword isn't retried.
//
// # Values
//
// IDs and seqs are between 1 and 2^53-1. Texts are UTF-8.
package client
