package service

import (
	"context"

	"chatd/model"
)

// Store is what the chat needs of the data: model.DB. All methods but
// Append, Deliver, Read and FlushSoon may block and need an Off; errors that clients
// are told are the sentinels of model.
type Store interface {
	accounts
	friends
	groups
	conversations
	TraceStore
}

type accounts interface {
	CreateUser(ctx context.Context, name, nameKey, hash string) (int64, error)
	UserByID(ctx context.Context, id int64) (model.User, error)
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	SetHash(ctx context.Context, id int64, old, hash string) error
	OpenDevice(ctx context.Context, u model.User, device string, tokenHash []byte, max int) (evicted []string, err error)
	TokenDevice(ctx context.Context, tokenHash []byte) (model.User, string, error)
	TokenPlaces(ctx context.Context, tokenHash []byte, user int64) (model.User, string, []model.Place, error)
	CloseDevice(ctx context.Context, tokenHash []byte) error
	ChangePassword(ctx context.Context, user int64, hash, device string, tokenHash []byte) (others []string, err error)
	Revocations(ctx context.Context, after int64) (last int64, users []int64, err error)
}

type friends interface {
	AddFriend(ctx context.Context, user, friend int64, max int) (name string, err error)
	DelFriend(ctx context.Context, user, friend int64) error
	Friends(ctx context.Context, user int64) ([]model.Friend, error)
	AreFriends(ctx context.Context, a, b int64) (friends, hidden bool, err error)
	Audience(ctx context.Context, users []int64) ([]model.Watcher, error)
	Block(ctx context.Context, user, other int64, on bool) error
	Blocked(ctx context.Context, by, whom int64) (bool, error)
	Blockers(ctx context.Context, user int64) ([]int64, error)
}

type groups interface {
	CreateGroup(ctx context.Context, creator int64, name, desc string, maxGroups int) (int64, error)
	JoinGroup(ctx context.Context, group, user int64, maxMembers, maxGroups int) (model.Joined, error)
	LeaveGroup(ctx context.Context, group, user int64) (version int64, err error)
	KickMember(ctx context.Context, group, by, user int64) (version int64, err error)
	DismissGroup(ctx context.Context, group, by int64) (version int64, members []int64, err error)
	Groups(ctx context.Context, user int64) ([]model.Group, error)
	Members(ctx context.Context, group, after int64, limit int) ([]model.Member, error)
	MemberIDs(ctx context.Context, group int64) (version int64, members []model.Member, err error)
}

type conversations interface {
	Append(batch ...*model.Append) error
	Page(ctx context.Context, conv, after int64, limit, maxBytes int) ([]model.Message, error)
	Parts(ctx context.Context, parts []model.Part, maxBytes int) ([]model.Message, error)
	PageBefore(ctx context.Context, conv, before, floor int64, limit, maxBytes int) ([]model.Message, error)
	View(ctx context.Context, user, group, peer int64) (model.View, error)
	Places(ctx context.Context, user int64, device string) ([]model.Place, error)
	Conversations(ctx context.Context, user, before int64, limit int) ([]model.Conversation, bool, error)
	Touched(ctx context.Context, since int64) (now int64, heads []model.Head, err error)
	Delivered(ctx context.Context, conv int64, of []model.Holder) ([]int64, error)
	Deliver(user int64, device string, conv, seq int64)
	Read(user, conv, seq int64)
	FlushSoon(user int64)
}
