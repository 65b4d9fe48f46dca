package proto

import (
	"unicode/utf8"
)

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

// rule is what a client's value of a field must be: min and max of an
// integer's value or of a string's length, in characters where chars is set,
// else in bytes. want says it to people.
type rule struct {
	shape    shape
	min, max int64
	chars    bool
	want     string
}

const (
	wantID      = "must be an integer from 1 to 9007199254740991"
	wantSeq     = "must be an integer from 0 to 9007199254740991"
	wantInteger = "must be an integer from -9007199254740991 to 9007199254740991"
	wantBoolean = "must be true or false"
	wantString  = "must be a string"
	wantList    = "must be a list"
)

// rules has every field. Where a client never sends one, or the service knows
// better what makes sense (limit), the bounds are only those of the shape.
var rules = [fieldCount]rule{
	FMsgID:      {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FRID:        {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FErrno:      {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FRetryAfter: {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FID:         {shapeInteger, 1, MaxID, false, wantID},
	FWindow:     {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FEpoch:      {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FToID:       {shapeInteger, 1, MaxID, false, wantID},
	FPeer:       {shapeInteger, 1, MaxID, false, wantID},
	FGroupID:    {shapeInteger, 1, MaxID, false, wantID},
	FFriendID:   {shapeInteger, 1, MaxID, false, wantID},
	FUserID:     {shapeInteger, 1, MaxID, false, wantID},
	FTime:       {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FSeq:        {shapeInteger, 1, MaxID, false, wantID},
	FAfter:      {shapeInteger, 0, MaxID, false, wantSeq},
	FBefore:     {shapeInteger, 0, MaxID, false, wantSeq},
	FLimit:      {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FFirst:      {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FLast:       {shapeInteger, -MaxID, MaxID, false, wantInteger},
	FCount:      {shapeInteger, -MaxID, MaxID, false, wantInteger},

	FAck:   {shape: shapeBoolean, want: wantBoolean},
	FBrief: {shape: shapeBoolean, want: wantBoolean},
	FRetry: {shape: shapeBoolean, want: wantBoolean},
	FRead:  {shape: shapeBoolean, want: wantBoolean},
	FOn:    {shape: shapeBoolean, want: wantBoolean},
	FMore:  {shape: shapeBoolean, want: wantBoolean},

	FMsg:   {shapeOctets, 1, MaxMsg, false, wantString},
	FCID:   {shapeOctets, 1, MaxCID, false, wantString},
	FEvent: {shapeOctets, 1, MaxEventChars, true, wantString},
	FData:  {shapeOctets, 0, MaxData, false, wantString},

	FName: {shapeText, 1, MaxNameChars, true, wantString},
	// That a password is too short is judged where it is set: one that is
	// offered at LOGIN is wrong then, and no more than that is told.
	FPassword:    {shapeText, 1, MaxPasswordChars, true, wantString},
	FNewPassword: {shapeText, 1, MaxPasswordChars, true, wantString},
	FToken:       {shapeText, 1, MaxToken, false, wantString},
	FDevice:      {shapeText, 1, MaxDeviceChars, true, wantString},
	FGroupName:   {shapeText, 1, MaxNameChars, true, wantString},
	FGroupDesc:   {shapeText, 0, MaxDescChars, true, wantString},
	FErrMsg:      {shape: shapeText, want: wantString},
	FNode:        {shape: shapeText, want: wantString},
	FState:       {shape: shapeText, want: wantString},
	FReason:      {shape: shapeText, want: wantString},

	FFriends:       {shape: shapeList, want: wantList},
	FGroups:        {shape: shapeList, want: wantList},
	FUsers:         {shape: shapeList, want: wantList},
	FOffline:       {shape: shapeList, want: wantList},
	FMessages:      {shape: shapeList, want: wantList},
	FConversations: {shape: shapeList, want: wantList},
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

// fieldIndex finds a field by its key: open addressing, built from fieldNames
// so that there is one list of names only.
var fieldIndex = indexFields()

type fieldTable [256]uint8 // a Field plus one; 0: none

func indexFields() (t fieldTable) {
	for f, name := range fieldNames {
		at := fieldHash([]byte(name))
		for t[at] != 0 {
			at++
		}
		t[at] = uint8(f + 1)
	}
	return t
}

// fieldHash is any cheap function that keeps the names mostly apart.
func fieldHash(key []byte) uint8 {
	n := len(key)
	return uint8(n*31) ^ key[0]*7 ^ key[n-1]*13 ^ key[n/2]*3
}

func fieldOf(key []byte) (Field, bool) {
	if len(key) == 0 {
		return 0, false
	}
	for at := fieldHash(key); fieldIndex[at] != 0; at++ {
		f := Field(fieldIndex[at] - 1)
		if fieldNames[f] == string(key) {
			return f, true
		}
	}
	return 0, false
}

// integer is where r has the integer f; nil where it has none such.
func (r *Request) integer(f Field) *int64 {
	switch f {
	case FRID:
		return &r.RID
	case FID:
		return &r.ID
	case FToID:
		return &r.ToID
	case FPeer:
		return &r.Peer
	case FGroupID:
		return &r.GroupID
	case FFriendID:
		return &r.FriendID
	case FUserID:
		return &r.UserID
	case FSeq:
		return &r.Seq
	case FAfter:
		return &r.After
	case FBefore:
		return &r.Before
	case FLimit:
		return &r.Limit
	}
	return nil
}

func (r *Request) boolean(f Field) *bool {
	switch f {
	case FAck:
		return &r.Ack
	case FBrief:
		return &r.Brief
	case FRetry:
		return &r.Retry
	case FRead:
		return &r.Read
	case FOn:
		return &r.On
	}
	return nil
}

func (r *Request) octets(f Field) *[]byte {
	switch f {
	case FMsg:
		return &r.Msg
	case FCID:
		return &r.CID
	case FEvent:
		return &r.Event
	case FData:
		return &r.Data
	}
	return nil
}

func (r *Request) text(f Field) *string {
	switch f {
	case FName:
		return &r.Name
	case FPassword:
		return &r.Password
	case FNewPassword:
		return &r.NewPassword
	case FToken:
		return &r.Token
	case FDevice:
		return &r.Device
	case FGroupName:
		return &r.GroupName
	case FGroupDesc:
		return &r.GroupDesc
	}
	return nil
}

// integer is where r has the integer f; nil where it has none such. Errno is
// of another type: it is handled where it is met.
func (r *Response) integer(f Field) *int64 {
	switch f {
	case FRID:
		return &r.RID
	case FRetryAfter:
		return &r.RetryAfter
	case FID:
		return &r.ID
	case FWindow:
		return &r.Window
	case FEpoch:
		return &r.Epoch
	case FToID:
		return &r.ToID
	case FPeer:
		return &r.Peer
	case FGroupID:
		return &r.GroupID
	case FFriendID:
		return &r.FriendID
	case FUserID:
		return &r.UserID
	case FTime:
		return &r.Time
	case FSeq:
		return &r.Seq
	case FFirst:
		return &r.First
	case FLast:
		return &r.Last
	case FCount:
		return &r.Count
	}
	return nil
}

func (r *Response) boolean(f Field) *bool {
	switch f {
	case FRead:
		return &r.Read
	case FOn:
		return &r.On
	case FMore:
		return &r.More
	}
	return nil
}

func (r *Response) octets(f Field) *[]byte {
	switch f {
	case FMsg:
		return &r.Msg
	case FCID:
		return &r.CID
	case FEvent:
		return &r.Event
	case FData:
		return &r.Data
	}
	return nil
}

func (r *Response) text(f Field) *string {
	switch f {
	case FErrMsg:
		return &r.ErrMsg
	case FName:
		return &r.Name
	case FDevice:
		return &r.Device
	case FToken:
		return &r.Token
	case FNode:
		return &r.Node
	case FGroupName:
		return &r.GroupName
	case FGroupDesc:
		return &r.GroupDesc
	case FState:
		return &r.State
	case FReason:
		return &r.Reason
	}
	return nil
}

// list says whether r has the list f, that is, whether it is not nil.
func (r *Response) list(f Field) bool {
	switch f {
	case FFriends:
		return r.Friends != nil
	case FGroups:
		return r.Groups != nil
	case FUsers:
		return r.Users != nil
	case FOffline:
		return r.Offline != nil
	case FMessages:
		return r.Messages != nil
	case FConversations:
		return r.Conversations != nil
	}
	return false
}
