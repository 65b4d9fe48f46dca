package service

import (
	"time"

	"github.com/alexedwards/argon2id"

	"chatd/proto"
)

// Config is what an operator can set of the chat. DefaultConfig has the
// defaults.
type Config struct {
	Window int // un-acknowledged chat messages of a connection; more are held
	// MaxUnanswered is how many bytes all chat messages that were taken and
	// aren't answered may take on this node. What comes beyond gets errno 9.
	MaxUnanswered int64

	MaxFriends int // of a user
	MaxGroups  int // of a user
	MaxMembers int // of a group
	MaxDevices int // of a user
	MaxPage    int // messages of one page: in LOGIN_ACK, in SYNC_ACK, and read at once for who is behind

	// Rates; 0: no limit. Those per address count the client's own, behind
	// trusted proxies as well.
	FramesPerUser    int           // a second, over all connections of a user here; PING doesn't count
	BytesPerUser     int           // of these, a second
	LoginsPerAddr    int           // a second
	PasswordsPerAddr int           // to be hashed, a second: logins by password, registrations, changes
	Burst            time.Duration // of those: what comes together in it may come at once
	FailedPerAddr    int           // wrong passwords in FailedTime
	FailedPerAccount int           // wrong passwords in FailedTime
	FailedTime       time.Duration
	AbuseWait        time.Duration // before a user who was kicked for abuse may log in; twice as long each further time, up to MaxAbuseWait; 0: not at all

	Argon2      argon2id.Params // cost of password hashing
	SweepEvery  time.Duration   // how often the log is asked what has grown
	LookEvery   time.Duration   // how often online friends on other nodes are looked after
	Grace       time.Duration   // between a user's last session's end and "offline"
	DrainSpread time.Duration   // over which a draining node spreads reconnects
}

// DefaultConfig is what chatd runs with when nothing is set.
func DefaultConfig() Config {
	return Config{
		Window: proto.DefaultWindow, MaxUnanswered: 48 << 20,
		MaxFriends: 1000, MaxGroups: 100, MaxMembers: 10000, MaxDevices: 8, MaxPage: proto.MaxSyncMessages,
		Burst: 10 * time.Second, FailedTime: 5 * time.Minute, AbuseWait: 5 * time.Second,
		Argon2:     argon2id.Params{Memory: 19456, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32},
		SweepEvery: 10 * time.Second, LookEvery: 15 * time.Second, Grace: 2 * time.Second, DrainSpread: 2 * time.Second,
	}
}

// Bounds that are not settings.
const (
	maxLoops       = 64                   // a set of loops is a uint64
	courierLen     = 8192                 // notices for other nodes that wait
	courierBatch   = 256                  // of them in one publish
	courierPause   = 5 * time.Millisecond // between looks at whether it has room
	presenceBatch  = 256                  // users whose coming or going is told together
	publishTimeout = 500 * time.Millisecond
	drainSlots     = 64        // into which reconnects are spread
	backlogBytes   = 256 << 10 // waiting for a connection, from which on its backlog pauses
	maxOwn         = 1024      // acknowledged seqs beyond a hole that are remembered
	maxHeldNotices = 4096      // for a session that is joining
	maxListUsers   = 1000      // users of all groups in one LOGIN_ACK
	blockCacheLen  = 16384     // pairs whose blocks a loop remembers
	settleEvery    = 10 * time.Second
	quietAfter     = 10 * time.Minute
	retryRead      = time.Second
	retryBusy      = 100 * time.Millisecond
	recheckAfter   = time.Second           // between two looks at a token that seems to have ended
	awaySweep      = time.Second           // how often, while the bus is away
	afterReturn    = 10 * time.Second      // after the bus came back nobody is declared offline
	earlyWait      = 20 * time.Millisecond // that a message which came before its turn waits for the others
	maxEarly       = 256                   // of them in one conversation
	sweepOverlap   = 30                    // seconds read again by each sweep: a transaction may commit late
	revokeEvery    = time.Second
)
