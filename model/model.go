// Package model is the data of chatd: users, devices, friends, groups, and
// the log of every conversation, in SQL. It knows no wire and no connection.
package model

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// What callers tell apart with errors.Is. Any other error means that the
// database could not do it.
var (
	ErrNotFound   = errors.New("no such user, group or conversation")
	ErrNotAllowed = errors.New("not allowed")
	ErrAlready    = errors.New("already so")
	ErrFull       = errors.New("a limit is reached")
	ErrTaken      = errors.New("name is taken")
	ErrBusy       = errors.New("append queue is full")
	ErrClosed     = errors.New("store is closed")
)

// Options say how to open a store. The zero value of each field but URL
// stands for its default.
type Options struct {
	URL            string        // "sqlite:PATH"
	Sync           string        // "full" (default) or "normal"
	Shared         bool          // beside a running daemon: its lock isn't taken
	Readers        int           // connections for reading
	MaxBatch       int           // messages in one transaction
	MaxBatchBytes  int           // bytes in one transaction
	QueueMessages  int           // messages waiting for one
	QueueBytes     int           // bytes waiting for one
	CursorInterval time.Duration // how long a cursor waits to be written
	CursorBehind   int64         // messages that a cursor may be behind before it is written at once
	TokenLife      time.Duration // how long a token lives without use
	Sink           func(ctx context.Context, batch []*Append)
	Logger         *slog.Logger
	Set            *metrics.Set
	Now            func() time.Time
}

type DB struct{}

type User struct {
	ID     int64
	Name   string
	Hash   string
	Banned bool
}
type Friend struct {
	ID     int64
	Name   string
	Hidden bool
}
type Joined struct {
	Name, Desc          string
	Seq, Version, Count int64
}
type Group struct {
	ID          int64
	Name, Desc  string
	Last, Count int64
}
type Member struct {
	User       int64
	Name, Role string
	Joined     int64
}
type Append struct {
	Sender      int64
	Group, Peer int64
	CID, Body   []byte
	Retry       bool
	Owner       any

	Conv, Seq, Time, Version, Last int64
	Stored                         bool
	Err                            error
}
type Message struct {
	Conv, Seq, Sender, Time int64
	Name                    string
	CID, Body               []byte
}
type View struct {
	Conv, First, Last, Version int64
	Lo, Hi                     int64
}
type Place struct {
	Conv, Group, Peer, Last, Version, Joined, Delivered, Read int64
}
type Conversation struct {
	Conv, Group, Peer       int64
	Name                    string
	First, Last, Read, Time int64
	Message                 *Message
}
type Head struct {
	Conv, Group, Lo, Hi, Last, Version int64
}

var todo = errors.ErrUnsupported

func Open(ctx context.Context, o Options) (*DB, error)     { return nil, todo }
func (db *DB) Close() error                                { return todo }
func (db *DB) Epoch() int64                                { return 0 }
func (db *DB) NewEpoch(ctx context.Context) (int64, error) { return 0, todo }
func (db *DB) CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error) {
	return 0, todo
}
func (db *DB) UserByID(ctx context.Context, id int64) (User, error)         { return User{}, todo }
func (db *DB) UserByNameKey(ctx context.Context, key string) (User, error)  { return User{}, todo }
func (db *DB) SetHash(ctx context.Context, id int64, old, new string) error { return todo }
func (db *DB) OpenDevice(ctx context.Context, user int64, device string, tokenHash []byte, max int) (evicted []string, err error) {
	return nil, todo
}
func (db *DB) TokenDevice(ctx context.Context, tokenHash []byte) (u User, device string, err error) {
	return User{}, "", todo
}
func (db *DB) CloseDevice(ctx context.Context, user int64, device string) error { return todo }
func (db *DB) ChangePassword(ctx context.Context, user int64, hash, device string, tokenHash []byte) (others []string, err error) {
	return nil, todo
}
func (db *DB) Ban(ctx context.Context, id int64, on bool) error                  { return todo }
func (db *DB) DeleteUser(ctx context.Context, id int64) error                    { return todo }
func (db *DB) OperatorPassword(ctx context.Context, id int64, hash string) error { return todo }
func (db *DB) Revocations(ctx context.Context, after int64) (last int64, users []int64, err error) {
	return 0, nil, todo
}
func (db *DB) AddFriend(ctx context.Context, user, friend int64, max int) (name string, err error) {
	return "", todo
}
func (db *DB) DelFriend(ctx context.Context, user, friend int64) error   { return todo }
func (db *DB) Friends(ctx context.Context, user int64) ([]Friend, error) { return nil, todo }
func (db *DB) AreFriends(ctx context.Context, a, b int64) (friends, hidden bool, err error) {
	return false, false, todo
}
func (db *DB) Audience(ctx context.Context, user int64) ([]int64, error)   { return nil, todo }
func (db *DB) Block(ctx context.Context, user, other int64, on bool) error { return todo }
func (db *DB) Blocked(ctx context.Context, by, whom int64) (bool, error)   { return false, todo }
func (db *DB) CreateGroup(ctx context.Context, creator int64, name, desc string, maxGroups int) (int64, error) {
	return 0, todo
}
func (db *DB) JoinGroup(ctx context.Context, group, user int64, maxMembers, maxGroups int) (Joined, error) {
	return Joined{}, todo
}
func (db *DB) LeaveGroup(ctx context.Context, group, user int64) (version int64, err error) {
	return 0, todo
}
func (db *DB) KickMember(ctx context.Context, group, by, user int64) (version int64, err error) {
	return 0, todo
}
func (db *DB) DismissGroup(ctx context.Context, group, by int64) (version int64, members []int64, err error) {
	return 0, nil, todo
}
func (db *DB) Groups(ctx context.Context, user int64) ([]Group, error) { return nil, todo }
func (db *DB) Members(ctx context.Context, group, after int64, limit int) ([]Member, error) {
	return nil, todo
}
func (db *DB) MemberIDs(ctx context.Context, group int64) (version int64, members []Member, err error) {
	return 0, nil, todo
}
func (db *DB) Append(batch ...*Append) error { return todo }
func (db *DB) Page(ctx context.Context, conv, after int64, limit, maxBytes int) ([]Message, error) {
	return nil, todo
}
func (db *DB) PageBefore(ctx context.Context, conv, before, floor int64, limit, maxBytes int) ([]Message, error) {
	return nil, todo
}
func (db *DB) View(ctx context.Context, user, group, peer int64) (View, error) { return View{}, todo }
func (db *DB) Places(ctx context.Context, user int64, device string) ([]Place, error) {
	return nil, todo
}
func (db *DB) Conversations(ctx context.Context, user, before int64, limit int) (list []Conversation, more bool, err error) {
	return nil, false, todo
}
func (db *DB) Touched(ctx context.Context, since int64) (now int64, heads []Head, err error) {
	return 0, nil, todo
}
func (db *DB) Heads(ctx context.Context, convs []int64) ([]Head, error) { return nil, todo }
func (db *DB) Deliver(user int64, device string, conv, seq int64)       {}
func (db *DB) Read(user, conv, seq int64)                               {}
func (db *DB) Flush(ctx context.Context, user int64) error              { return todo }
