package proto

// Request is a message from a client: the union of the fields of all ops that
// clients send. Fields says which are present; the table in fields.go says which
// are allowed.
//
// Byte slices point into the decoded frame or the decoder's scratch buffer. They
// are valid until the decoder's next call; use Clone to keep them.
type Request struct {
	Op     Op
	Fields Fields // the fields that are present
	Plain  Fields // of Msg, CID, Event and Data: those whose text is the same in JSON, without escapes
	RID    int64

	ID, ToID, Peer, GroupID, FriendID, UserID int64
	Seq, After, Before, Limit                 int64
	Ack, Brief, Retry, Read, On               bool

	Msg, CID, Event, Data []byte

	Name, Password, NewPassword, Code, Token, Device, GroupName, GroupDesc string
}

// Has reports whether f is present.
func (r *Request) Has(f Field) bool { return r.Fields.Has(f) }

// Clone returns a copy of r with its own byte slices.
func (r *Request) Clone() *Request {
	c := *r
	all := make([]byte, 0, len(r.Msg)+len(r.CID)+len(r.Event)+len(r.Data))
	for _, p := range []*[]byte{&c.Msg, &c.CID, &c.Event, &c.Data} {
		n := len(all)
		all = append(all, *p...)
		*p = all[n:len(all):len(all)]
	}
	return &c
}

// integerField returns a pointer to the field f, nil if f isn't an integer of a
// Request. The next three methods do the same for the other types.
func (r *Request) integerField(f Field) *int64 {
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

func (r *Request) booleanField(f Field) *bool {
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

func (r *Request) bytesField(f Field) *[]byte {
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

func (r *Request) stringField(f Field) *string {
	switch f {
	case FName:
		return &r.Name
	case FPassword:
		return &r.Password
	case FNewPassword:
		return &r.NewPassword
	case FCode:
		return &r.Code
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
