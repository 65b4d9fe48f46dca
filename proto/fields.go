package proto

// Field identifies one key of a message. Fields is a set of them.
type Field uint8

// The fields, in the order in which the encoder writes them.
const (
	FMsgID Field = iota
	FRID
	FErrno
	FErrMsg
	FRetryAfter
	FID
	FName
	FPassword
	FNewPassword
	FCode
	FToken
	FDevice
	FAck
	FBrief
	FNode
	FWindow
	FEpoch
	FFeatures
	FToID
	FPeer
	FGroupID
	FFriendID
	FUserID
	FGroupName
	FGroupDesc
	FState
	FMsg
	FTime
	FSeq
	FCID
	FRetry
	FRead
	FOn
	FEvent
	FData
	FAfter
	FBefore
	FLimit
	FFirst
	FLast
	FReason
	FCount
	FFriends
	FGroups
	FUsers
	FOffline
	FMessages
	FConversations
	FMore
	fieldCount
)

// Fields is a set of fields.
type Fields uint64

// fieldSet returns the set of these fields.
func fieldSet(fs ...Field) (s Fields) {
	for _, f := range fs {
		s |= 1 << f
	}
	return s
}

// Has reports whether f is in the set.
func (s Fields) Has(f Field) bool { return s>>f&1 != 0 }

var fieldNames = [fieldCount]string{
	FMsgID: "msgid", FRID: "rid", FErrno: "errno", FErrMsg: "errmsg", FRetryAfter: "retry_after_ms",
	FID: "id", FName: "name", FPassword: "password", FNewPassword: "newpassword", FCode: "code", FToken: "token",
	FDevice: "device", FAck: "ack", FBrief: "brief", FNode: "node", FWindow: "window", FEpoch: "epoch", FFeatures: "features",
	FToID: "toid", FPeer: "peer", FGroupID: "groupid", FFriendID: "friendid", FUserID: "userid",
	FGroupName: "groupname", FGroupDesc: "groupdesc", FState: "state", FMsg: "msg", FTime: "time",
	FSeq: "seq", FCID: "cid", FRetry: "retry", FRead: "read", FOn: "on", FEvent: "event", FData: "data",
	FAfter: "after", FBefore: "before", FLimit: "limit", FFirst: "first", FLast: "last", FReason: "reason",
	FCount: "count", FFriends: "friends", FGroups: "groups", FUsers: "users", FOffline: "offlinemsg",
	FMessages: "messages", FConversations: "conversations", FMore: "more",
}

// String returns the key on the wire.
func (f Field) String() string { return fieldNames[f] }

// fieldIndex maps keys to fields: a hash table with open addressing, built from
// fieldNames.
var fieldIndex = buildFieldIndex()

type fieldTable [256]uint8 // the Field plus one; 0 means empty

func buildFieldIndex() (t fieldTable) {
	for f, name := range fieldNames {
		at := hashField([]byte(name))
		for t[at] != 0 {
			at++
		}
		t[at] = uint8(f + 1)
	}
	return t
}

// hashField is a cheap hash with few collisions among the field names. key must
// not be empty.
func hashField(key []byte) uint8 {
	n := len(key)
	return uint8(n*31) ^ key[0]*7 ^ key[n-1]*13 ^ key[n/2]*3
}

// lookupField returns the field with this key.
func lookupField(key []byte) (Field, bool) {
	if len(key) == 0 {
		return 0, false
	}
	for at := hashField(key); fieldIndex[at] != 0; at++ {
		f := Field(fieldIndex[at] - 1)
		if fieldNames[f] == string(key) {
			return f, true
		}
	}
	return 0, false
}

// shortFields maps keys of up to seven bytes to fields. A key is a number here: its
// bytes, little-endian. No two keys have the same place in the table.
var shortFields = buildShortFields()

type shortField struct {
	key   uint64 // 0: none
	field Field
}

const (
	shortFieldBits   = 8
	shortFieldFactor = 0x442e3d437204e52d
)

func placeOfShort(key uint64) uint64 { return key * shortFieldFactor >> (64 - shortFieldBits) }

func buildShortFields() (t [1 << shortFieldBits]shortField) {
	for f, name := range fieldNames {
		if len(name) < 8 {
			key := load64(name + "\x00\x00\x00\x00\x00\x00\x00\x00")
			at := &t[placeOfShort(key)]
			if at.key != 0 {
				panic("proto: choose another shortFieldFactor: two fields have the same place")
			}
			*at = shortField{key, Field(f)}
		}
	}
	return t
}

// lookupShort returns the field with this key of up to seven bytes.
func lookupShort(key uint64) (Field, bool) {
	at := &shortFields[placeOfShort(key)]
	return at.field, at.key == key && key != 0
}

// requestSpec lists the fields of a client's message of one op, besides msgid
// and rid. Need fields are required and May fields are optional. If OneOf isn't
// empty, exactly one of its fields is required. Other keys are ignored.
type requestSpec struct{ Need, May, OneOf Fields }

var requestSpecs = [OpCount]*requestSpec{
	// LOGIN takes id or name with password, or token; see checkLogin.
	LOGIN:         {May: fieldSet(FID, FName, FPassword, FToken, FDevice, FAck, FBrief)},
	LOGOUT:        {},
	REG:           {Need: fieldSet(FName, FPassword), May: fieldSet(FCode)},
	ONE_CHAT:      {Need: fieldSet(FToID, FMsg, FCID), May: fieldSet(FID, FRetry)},
	ADD_FRIEND:    {Need: fieldSet(FFriendID)},
	CREATE_GROUP:  {Need: fieldSet(FGroupName, FGroupDesc)},
	ADD_GROUP:     {Need: fieldSet(FGroupID)},
	GROUP_CHAT:    {Need: fieldSet(FGroupID, FMsg, FCID), May: fieldSet(FID, FRetry)},
	PING:          {},
	PONG:          {},
	RECEIPT:       {Need: fieldSet(FSeq), May: fieldSet(FRead), OneOf: fieldSet(FPeer, FGroupID)},
	SYNC:          {May: fieldSet(FAfter, FBefore, FLimit), OneOf: fieldSet(FPeer, FGroupID)},
	EVENT:         {Need: fieldSet(FEvent), May: fieldSet(FData), OneOf: fieldSet(FToID, FGroupID)},
	DEL_FRIEND:    {Need: fieldSet(FFriendID)},
	LEAVE_GROUP:   {Need: fieldSet(FGroupID)},
	KICK_MEMBER:   {Need: fieldSet(FGroupID, FUserID)},
	DISMISS_GROUP: {Need: fieldSet(FGroupID)},
	BLOCK:         {Need: fieldSet(FUserID, FOn)},
	FIND_USER:     {OneOf: fieldSet(FName, FUserID)},
	PASSWORD:      {Need: fieldSet(FPassword, FNewPassword)},
	GROUP_USERS:   {Need: fieldSet(FGroupID), May: fieldSet(FAfter)},
	CONVERSATIONS: {May: fieldSet(FBefore, FLimit)},
}

// responseSpec lists the fields of a server's message of one op, besides msgid
// and rid. Always fields are in every message, Success fields only if errno is
// 0, and May fields only if they aren't zero (lists: not nil). Refusals of all
// ops also have errmsg, and retry_after_ms if it isn't 0.
type responseSpec struct{ Always, Success, May Fields }

var responseSpecs = [OpCount]*responseSpec{
	LOGIN_ACK: {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FID, FName, FDevice, FToken, FNode, FWindow,
		FEpoch, FFeatures, FOffline, FMore), May: fieldSet(FFriends, FGroups)},
	REG_ACK:  {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FID)},
	ONE_CHAT: {Always: fieldSet(FID, FName, FToID, FMsg, FTime, FSeq, FCID)},
	// Sent to the new friend, and to the user's other devices, which learn of the
	// friendship by it.
	ADD_FRIEND:       {Always: fieldSet(FID, FName)},
	ADD_GROUP:        {Always: fieldSet(FGroupID, FID, FName)},
	GROUP_CHAT:       {Always: fieldSet(FID, FName, FGroupID, FMsg, FTime, FSeq, FCID)},
	LOGOUT_ACK:       {Always: fieldSet(FErrno)},
	ONE_CHAT_ACK:     {Always: fieldSet(FErrno, FErrMsg, FCID, FToID), Success: fieldSet(FSeq, FTime)},
	ADD_FRIEND_ACK:   {Always: fieldSet(FErrno, FErrMsg, FFriendID), Success: fieldSet(FName, FState)},
	CREATE_GROUP_ACK: {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FGroupID)},
	ADD_GROUP_ACK: {Always: fieldSet(FErrno, FErrMsg, FGroupID), Success: fieldSet(FGroupName, FGroupDesc, FSeq),
		May: fieldSet(FUsers, FCount)},
	GROUP_CHAT_ACK:    {Always: fieldSet(FErrno, FErrMsg, FCID, FGroupID), Success: fieldSet(FSeq, FTime)},
	ERROR:             {Always: fieldSet(FErrno, FErrMsg)},
	PING:              {},
	PONG:              {},
	RECEIPT:           {Always: fieldSet(FID, FSeq, FRead), May: fieldSet(FPeer, FGroupID)},
	SYNC_ACK:          {Always: fieldSet(FErrno, FErrMsg), Success: fieldSet(FMessages, FFirst, FLast, FMore), May: fieldSet(FPeer, FGroupID)},
	KICK:              {Always: fieldSet(FReason, FErrMsg), May: fieldSet(FRetryAfter)},
	PRESENCE:          {Always: fieldSet(FID, FState)},
	EVENT:             {Always: fieldSet(FID, FName, FEvent), May: fieldSet(FToID, FGroupID, FData)},
	DEL_FRIEND:        {Always: fieldSet(FID)},
	DEL_FRIEND_ACK:    {Always: fieldSet(FErrno, FFriendID)},
	LEAVE_GROUP:       {Always: fieldSet(FGroupID, FID)},
	LEAVE_GROUP_ACK:   {Always: fieldSet(FErrno, FGroupID)},
	KICK_MEMBER_ACK:   {Always: fieldSet(FErrno, FGroupID, FUserID)},
	DISMISS_GROUP:     {Always: fieldSet(FGroupID)},
	DISMISS_GROUP_ACK: {Always: fieldSet(FErrno, FGroupID)},
	// Sent to the blocker's other devices.
	BLOCK:             {Always: fieldSet(FUserID, FOn)},
	BLOCK_ACK:         {Always: fieldSet(FErrno, FUserID, FOn)},
	FIND_USER_ACK:     {Always: fieldSet(FErrno), Success: fieldSet(FID, FName), May: fieldSet(FState)},
	PASSWORD_ACK:      {Always: fieldSet(FErrno), Success: fieldSet(FToken)},
	GROUP_USERS_ACK:   {Always: fieldSet(FErrno, FGroupID), Success: fieldSet(FUsers, FMore)},
	CONVERSATIONS_ACK: {Always: fieldSet(FErrno), Success: fieldSet(FConversations, FMore)},
}
