package proto

// Limits of the protocol, from docs/protocol.md. Those whose names end in Chars are
// in characters; other sizes are in bytes.
const (
	HeaderSize  = 4         // of a TCP frame: length, unsigned, big-endian
	MaxRequest  = 64 << 10  // a client's frame body
	MaxUnauth   = 8 << 10   // the same before LOGIN_ACK
	MaxResponse = 512 << 10 // a server's frame body
	MinRequest  = 2         // "{}"
	MaxDepth    = 16        // nesting of objects and arrays, counting the frame's own object
	MaxID       = 1<<53 - 1 // largest ID, seq, time and rid: a double holds it exactly

	MaxNameChars     = 50 // name and groupname
	MaxDescChars     = 200
	MinPasswordChars = 6
	MaxPasswordChars = 128
	MaxDeviceChars   = 64
	MaxEventChars    = 32
	MaxCID           = 64
	MaxMsg           = 32 << 10
	MaxData          = 1 << 10
	MaxToken         = 256 // the decoder's limit; chatd's tokens have 43
	MaxCode          = 64  // the decoder's limit; chatd's codes have 26

	DefaultWindow    = 256       // unacknowledged chat messages per client
	MaxSyncMessages  = 200       // highest limit of a SYNC
	MaxSyncBytes     = 256 << 10 // size of the messages in one SYNC_ACK
	MaxOffline       = 200       // number of messages in offlinemsg
	MaxOfflineBytes  = 128 << 10 // size of the messages in offlinemsg
	MaxPageUsers     = 200       // members of a group in one list
	MaxConversations = 100       // highest limit of CONVERSATIONS

	DefaultDevice = "default"
)
