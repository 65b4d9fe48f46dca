package proto

import "unicode/utf8"

// shape is how a field's value is written, and where in Request and Response
// it lies: their methods integer, boolean, octets and text know.
type valueType uint8

const (
	typeInteger valueType = iota + 1
	typeBoolean
	typeBytes  // a string that both structs have as bytes
	typeString // a string that both structs have as a string
	typeList
)

// rule is what a client's value of a field must be: within min and max lies an
// integer's value, or a string's length, in characters where chars is set, else
// in bytes. What servers send is only held to its shape.
type fieldRule struct {
	typ        valueType
	min, max   int64
	countChars bool
}

var (
	anyInteger   = fieldRule{typ: typeInteger, min: -MaxID, max: MaxID}
	nonNegative  = fieldRule{typ: typeInteger, min: 0, max: MaxID}
	positive     = fieldRule{typ: typeInteger, min: 1, max: MaxID}
	anyBoolean   = fieldRule{typ: typeBoolean}
	serverString = fieldRule{typ: typeString} // by servers only
	serverList   = fieldRule{typ: typeList}
)

var fieldRules = [fieldCount]fieldRule{
	FMsgID: anyInteger, FRID: anyInteger, FErrno: anyInteger, FRetryAfter: anyInteger, FWindow: anyInteger, FEpoch: anyInteger,
	FTime: anyInteger, FFirst: anyInteger, FLast: anyInteger, FCount: anyInteger,
	FLimit: anyInteger, // the service knows what makes sense
	FAfter: nonNegative, FBefore: nonNegative,
	FID: positive, FToID: positive, FPeer: positive, FGroupID: positive, FFriendID: positive, FUserID: positive, FSeq: positive,

	FAck: anyBoolean, FBrief: anyBoolean, FRetry: anyBoolean, FRead: anyBoolean, FOn: anyBoolean, FMore: anyBoolean,

	FMsg:   {typ: typeBytes, min: 1, max: MaxMsg},
	FCID:   {typ: typeBytes, min: 1, max: MaxCID},
	FEvent: {typ: typeBytes, min: 1, max: MaxEventChars, countChars: true},
	FData:  {typ: typeBytes, min: 0, max: MaxData},

	FName: {typ: typeString, min: 1, max: MaxNameChars, countChars: true},
	// That a password is too short is judged where it is set (CheckPassword):
	// one that is offered at LOGIN is wrong then, and no more than that is told.
	FPassword:    {typ: typeString, min: 1, max: MaxPasswordChars, countChars: true},
	FNewPassword: {typ: typeString, min: 1, max: MaxPasswordChars, countChars: true},
	FToken:       {typ: typeString, min: 1, max: MaxToken},
	FDevice:      {typ: typeString, min: 1, max: MaxDeviceChars, countChars: true},
	FGroupName:   {typ: typeString, min: 1, max: MaxNameChars, countChars: true},
	FGroupDesc:   {typ: typeString, min: 0, max: MaxDescChars, countChars: true},
	FErrMsg:      serverString, FNode: serverString, FState: serverString, FReason: serverString,

	FFriends: serverList, FGroups: serverList, FUsers: serverList, FOffline: serverList, FMessages: serverList, FConversations: serverList,
}

// length checks the length of f's text, which is valid UTF-8.
func (ru *fieldRule) checkLength(f Field, text []byte) *Error {
	n := int64(len(text))
	unit := "bytes"
	if ru.countChars {
		unit = "characters"
		if n > ru.max { // else there can't be too many
			n = int64(utf8.RuneCount(text))
		}
	}
	switch {
	case n < ru.min:
		return Errorf(BadRequest, "%s must not be empty", f)
	case n > ru.max:
		return Errorf(BadRequest, "%s must have at most %d %s", f, ru.max, unit)
	}
	return nil
}
