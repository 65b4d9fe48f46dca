// Package client is the Go SDK of chatd. It implements the client's side of
// docs/protocol.md over TCP.
//
// A Client stays logged in after one login. It reconnects, sends unacknowledged
// messages again (with the same cid, so that they aren't stored twice), reads
// missing messages, drops duplicates, and sends receipts. Messages to one
// conversation are stored in the order of the calls, even if some are refused or
// lost on the way. There are two exceptions: a message that is refused and not
// retried isn't stored, and a message without an answer when the program ended
// may be stored after messages of the next run. The application provides
// handlers, which one goroutine calls: once for each message, in order within a
// conversation.
//
// All methods of Client may be called from any goroutine. Handlers must not call
// Close and Handled. Methods with a context wait for the server's answer. If the
// context ends first, they return its error, and the request may have been
// executed or not. The other methods don't block, except Close.
//
// A refusal by the server is a *proto.Error; use errors.As. Its Errno is the
// errno of docs/protocol.md. Requests that need a login are all methods with a
// context except Register, the logins, Send, Flush and Handled. They also return
// these errors:
//
//   - ErrNotLoggedIn: not logged in, or not any more.
//   - ErrNotConnected: there is no connection, or it was lost before the answer. The request may have been executed or not.
//   - ErrBusy: 1,024 requests are waiting for an answer.
//   - ErrClosed: Close was called.
//
// If the server answers "too fast" (errno 9), a request waits and is sent again,
// until its context ends. ChangePassword isn't retried. Ids and seqs are between
// 1 and 2^53-1.
package client
