package proto

import (
	"unicode/utf8"

	"chatd/internal/names"
)

// valueType is the JSON type of a field, and its Go type in Request and
// Response.
type valueType uint8

const (
	typeInteger valueType = iota + 1
	typeBoolean
	typeBytes  // a string, []byte in both structs
	typeString // a string, string in both structs
	typeList
)

// fieldRule is the type of a field, and the range that a client's value must be
// in: of an integer, its value; of a string, its length, in characters if
// countChars is set, otherwise in bytes. Only the type of a server's value is
// checked.
type fieldRule struct {
	typ        valueType
	min, max   int64
	countChars bool
	visible    bool // the text must have a character that people can see
}

var (
	anyInteger   = fieldRule{typ: typeInteger, min: -MaxID, max: MaxID}
	nonNegative  = fieldRule{typ: typeInteger, min: 0, max: MaxID}
	positive     = fieldRule{typ: typeInteger, min: 1, max: MaxID}
	anyBoolean   = fieldRule{typ: typeBoolean}
	serverString = fieldRule{typ: typeString} // only servers send it
	serverList   = fieldRule{typ: typeList}
)

var fieldRules = [fieldCount]fieldRule{
	FMsgID: anyInteger, FRID: anyInteger, FErrno: anyInteger, FRetryAfter: anyInteger, FWindow: anyInteger, FEpoch: anyInteger,
	FTime: anyInteger, FFirst: anyInteger, FLast: anyInteger, FCount: anyInteger,
	FLimit: anyInteger, // the service checks the range
	FAfter: nonNegative, FBefore: nonNegative,
	FID: positive, FToID: positive, FPeer: positive, FGroupID: positive, FFriendID: positive, FUserID: positive, FSeq: positive,

	FAck: anyBoolean, FBrief: anyBoolean, FRetry: anyBoolean, FRead: anyBoolean, FOn: anyBoolean, FMore: anyBoolean,

	FMsg:   {typ: typeBytes, min: 1, max: MaxMsg, visible: true},
	FCID:   {typ: typeBytes, min: 1, max: MaxCID},
	FEvent: {typ: typeBytes, min: 1, max: MaxEventChars, countChars: true},
	FData:  {typ: typeBytes, min: 0, max: MaxData},

	FName: {typ: typeString, min: 1, max: MaxNameChars, countChars: true},
	// CheckPassword checks the minimum length where a password is set. A password
	// that is too short at LOGIN is just a wrong one.
	FPassword:    {typ: typeString, min: 1, max: MaxPasswordChars, countChars: true},
	FNewPassword: {typ: typeString, min: 1, max: MaxPasswordChars, countChars: true},
	FCode:        {typ: typeString, min: 1, max: MaxCode},
	FToken:       {typ: typeString, min: 1, max: MaxToken},
	FDevice:      {typ: typeString, min: 1, max: MaxDeviceChars, countChars: true},
	FGroupName:   {typ: typeString, min: 1, max: MaxNameChars, countChars: true},
	FGroupDesc:   {typ: typeString, min: 0, max: MaxDescChars, countChars: true},
	FErrMsg:      serverString, FNode: serverString, FState: serverString, FReason: serverString,

	FFeatures: serverList, FFriends: serverList, FGroups: serverList, FUsers: serverList, FOffline: serverList, FMessages: serverList, FConversations: serverList,
}

// checkLength checks the length of f's text, which must be valid UTF-8, and
// whether people can see it.
func (ru *fieldRule) checkLength(f Field, text []byte) *Error {
	n := int64(len(text))
	unit := "bytes"
	if ru.countChars {
		unit = "characters"
		if n > ru.max { // otherwise it can't have too many characters
			n = int64(utf8.RuneCount(text))
		}
	}
	switch {
	case n < ru.min:
		return Errorf(BadRequest, "%s must not be empty", f)
	case ru.visible && names.Blank(text):
		return Errorf(BadRequest, "%s must not be empty: all of its characters are invisible", f)
	case n > ru.max:
		return Errorf(BadRequest, "%s must have at most %d %s, got %d", f, ru.max, unit, n)
	}
	return nil
}
