package proto

import "unicode/utf8"

// shape is how a field's value is written, and where in Request and Response
// it lies: their methods integer, boolean, octets and text know.
type shape uint8

const (
	shapeInteger shape = iota + 1
	shapeBoolean
	shapeOctets // a string that both structs have as bytes
	shapeText   // a string that both structs have as a string
	shapeList
)

// rule is what a client's value of a field must be: within min and max lies an
// integer's value, or a string's length, in characters where chars is set, else
// in bytes. What servers send is only held to its shape.
type rule struct {
	shape    shape
	min, max int64
	chars    bool
}

var (
	integer  = rule{shape: shapeInteger, min: -MaxID, max: MaxID}
	position = rule{shape: shapeInteger, min: 0, max: MaxID}
	positive = rule{shape: shapeInteger, min: 1, max: MaxID}
	boolean  = rule{shape: shapeBoolean}
	said     = rule{shape: shapeText} // by servers only
	list     = rule{shape: shapeList}
)

var rules = [fieldCount]rule{
	FMsgID: integer, FRID: integer, FErrno: integer, FRetryAfter: integer, FWindow: integer, FEpoch: integer,
	FTime: integer, FFirst: integer, FLast: integer, FCount: integer,
	FLimit: integer, // the service knows what makes sense
	FAfter: position, FBefore: position,
	FID: positive, FToID: positive, FPeer: positive, FGroupID: positive, FFriendID: positive, FUserID: positive, FSeq: positive,

	FAck: boolean, FBrief: boolean, FRetry: boolean, FRead: boolean, FOn: boolean, FMore: boolean,

	FMsg:   {shape: shapeOctets, min: 1, max: MaxMsg},
	FCID:   {shape: shapeOctets, min: 1, max: MaxCID},
	FEvent: {shape: shapeOctets, min: 1, max: MaxEventChars, chars: true},
	FData:  {shape: shapeOctets, min: 0, max: MaxData},

	FName: {shape: shapeText, min: 1, max: MaxNameChars, chars: true},
	// That a password is too short is judged where it is set (CheckPassword):
	// one that is offered at LOGIN is wrong then, and no more than that is told.
	FPassword:    {shape: shapeText, min: 1, max: MaxPasswordChars, chars: true},
	FNewPassword: {shape: shapeText, min: 1, max: MaxPasswordChars, chars: true},
	FToken:       {shape: shapeText, min: 1, max: MaxToken},
	FDevice:      {shape: shapeText, min: 1, max: MaxDeviceChars, chars: true},
	FGroupName:   {shape: shapeText, min: 1, max: MaxNameChars, chars: true},
	FGroupDesc:   {shape: shapeText, min: 0, max: MaxDescChars, chars: true},
	FErrMsg:      said, FNode: said, FState: said, FReason: said,

	FFriends: list, FGroups: list, FUsers: list, FOffline: list, FMessages: list, FConversations: list,
}

// length checks the length of f's text, which is valid UTF-8.
func (ru *rule) length(f Field, text []byte) *Error {
	n := int64(len(text))
	unit := "bytes"
	if ru.chars {
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
