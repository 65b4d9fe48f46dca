package proto

// Sizes on the wire, from docs/protocol.md. Lengths are in characters where
// the name ends in Chars, else in bytes.
const (
	HeaderSize  = 4         // of a TCP frame: big-endian unsigned length
	MaxRequest  = 64 << 10  // a client's frame body
	MaxResponse = 512 << 10 // a server's frame body
	MinRequest  = 2         // "{}"
	MaxDepth    = 16        // nesting of objects and arrays, the frame's own object included
	MaxID       = 1<<53 - 1 // ids, seqs, times and rids: what a double holds exactly

	MaxNameChars     = 50 // name and groupname
	MaxDescChars     = 200
	MinPasswordChars = 6
	MaxPasswordChars = 128
	MaxDeviceChars   = 64
	MaxEventChars    = 32
	MaxCID           = 64
	MaxMsg           = 32 << 10
	MaxData          = 1 << 10
	MaxToken         = 256 // what the decoder takes; ours are 43

	DefaultWindow    = 256       // un-acknowledged chat messages a client keeps at most
	MaxSyncMessages  = 200       // SYNC's limit
	MaxSyncBytes     = 256 << 10 // the messages of one SYNC_ACK
	MaxOffline       = 200       // offlinemsg of one LOGIN_ACK
	MaxOfflineBytes  = 128 << 10
	MaxPageUsers     = 200 // users of a group in one list
	MaxConversations = 100

	DefaultDevice = "default"
)
