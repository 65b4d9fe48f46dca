package proto

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/go-json-experiment/json"
)

// Decoder decodes messages. The zero value is ready to use. A Decoder is reused:
// what it returns is valid until its next call. It is not safe for concurrent
// use; each event loop has one for all its connections. It never blocks, and
// doesn't allocate for well-formed messages of the hot path (ONE_CHAT,
// GROUP_CHAT, EVENT, RECEIPT, PING and their answers).
type Decoder struct {
	scanner  scanner
	request  Request
	response Response
	strings  stringCache
}

// maxKeptScratch is the largest scratch buffer, in bytes, that a decoder keeps
// between frames.
const maxKeptScratch = 64 << 10

// scanBody scans body into d.scanner.
func (d *Decoder) scanBody(body []byte) syntaxError {
	if cap(d.scanner.scratch) > maxKeptScratch {
		d.scanner.scratch = nil
	}
	return d.scanner.scan(body)
}

// Decode decodes the body of a client's frame. The request is never nil: with an
// error, it has the Op and RID that could be read, and FRID in Fields if there
// was a RID. The error is BadRequest for an invalid message, and UnknownOp for a
// valid message whose op no client may send.
func (d *Decoder) Decode(body []byte) (*Request, *Error) {
	r := &d.request
	*r = Request{}
	syntax := d.scanBody(body)
	// Read the header of an invalid message too: its refusal is sent with the RID.
	err := d.bindHeader(&r.Op, &r.RID, &r.Fields)
	if syntax != syntaxOK {
		return r, Errorf(BadRequest, "invalid JSON at byte %d: %s", d.scanner.pos, syntaxErrorTexts[syntax])
	}
	if err != nil {
		return r, err
	}
	if r.Op <= 0 || r.Op >= OpCount || requestSpecs[r.Op] == nil {
		return r, d.unknownOp(r.Op)
	}
	return r, d.bindRequest(requestSpecs[r.Op])
}

// unknownOp returns the error for an op that no client sends. The text quotes
// msgid from the frame, because not every integer fits in an Op.
func (d *Decoder) unknownOp(op Op) *Error {
	if op > 0 && op < OpCount && responseSpecs[op] != nil {
		return Errorf(UnknownOp, "msgid %d (%s) is sent by servers only", op, op)
	}
	v := d.scanner.values[FMsgID]
	return Errorf(UnknownOp, "unknown msgid %.20s", d.scanner.buf[v.start:v.end])
}

// bindHeader reads the fields that every message may have: msgid and rid.
func (d *Decoder) bindHeader(op *Op, rid *int64, fields *Fields) *Error {
	var ridErr *Error
	if d.scanner.seen.Has(FRID) {
		if *rid, ridErr = d.integer(FRID); ridErr == nil {
			*fields |= 1 << FRID
		}
	}
	if !d.scanner.seen.Has(FMsgID) {
		return Errorf(BadRequest, "msgid is missing")
	}
	v := d.scanner.values[FMsgID]
	if v.kind != kindInteger {
		return Errorf(BadRequest, "msgid must be an integer")
	}
	// A msgid that doesn't fit in an Op is still an integer. Op stays 0, which no
	// client sends either.
	if n, ok := parseInteger(d.scanner.buf[v.start:v.end]); ok && n == int64(Op(n)) {
		*op = Op(n)
	}
	return ridErr
}

// bindRequest checks the fields against spec and stores them in d.request.
func (d *Decoder) bindRequest(spec *requestSpec) *Error {
	r, seen := &d.request, d.scanner.seen
	may := spec.Need | spec.May | spec.OneOf
	if r.Op == LOGIN {
		if err := checkLogin(seen); err != nil {
			return err
		}
		if seen.Has(FToken) {
			may &^= 1 << FDevice // the token determines the device; ignore this field
		}
	}
	if missing := spec.Need &^ seen; missing != 0 {
		return Errorf(BadRequest, "%s is missing", Field(bits.TrailingZeros64(uint64(missing))))
	}
	if spec.OneOf != 0 {
		if n := bits.OnesCount64(uint64(spec.OneOf & seen)); n != 1 {
			return oneOfError(spec.OneOf, n)
		}
	}
	for left := may & seen; left != 0; left &= left - 1 {
		f := Field(bits.TrailingZeros64(uint64(left)))
		if err := d.bindRequestField(f); err != nil {
			return err
		}
	}
	r.Fields |= may & seen
	return nil
}

// bindRequestField stores the value of f in d.request.
func (d *Decoder) bindRequestField(f Field) *Error {
	var err *Error
	switch r := &d.request; fieldRules[f].typ {
	case typeInteger:
		*r.integerField(f), err = d.integer(f)
	case typeBoolean:
		*r.booleanField(f), err = d.boolean(f)
	case typeBytes:
		*r.bytesField(f), err = d.boundedString(f)
		if !d.scanner.values[f].escaped {
			r.Plain |= 1 << f // the scanner has found nothing in it that AppendString would escape or replace
		}
	case typeString:
		var text []byte
		text, err = d.boundedString(f)
		*r.stringField(f) = string(text)
	}
	return err
}

// checkLogin checks that a LOGIN has exactly one form of credentials: a token,
// or a password with a name or an id.
func checkLogin(seen Fields) *Error {
	switch id, name, password := seen.Has(FID), seen.Has(FName), seen.Has(FPassword); {
	case seen.Has(FToken):
		if id || name || password {
			return Errorf(BadRequest, "token can't be combined with id, name or password")
		}
	case id && name:
		return oneOfError(fieldSet(FID, FName), 2)
	case !id && !name:
		return Errorf(BadRequest, "send either a token, or a password with an id or a name")
	case !password:
		return Errorf(BadRequest, "password is missing")
	}
	return nil
}

// oneOfError returns the error for a message that has none or both of the two
// fields in of.
func oneOfError(of Fields, there int) *Error {
	first := Field(bits.TrailingZeros64(uint64(of)))
	second := Field(bits.TrailingZeros64(uint64(of & (of - 1))))
	if there == 0 {
		return Errorf(BadRequest, "%s or %s is missing", first, second)
	}
	return Errorf(BadRequest, "send either %s or %s, not both", first, second)
}

// integer returns the value of f, which must be an integer within its rule.
func (d *Decoder) integer(f Field) (int64, *Error) {
	v, ru := &d.scanner.values[f], &fieldRules[f]
	if v.kind == kindInteger {
		if n, ok := parseInteger(d.scanner.buf[v.start:v.end]); ok && n >= ru.min && n <= ru.max {
			return n, nil
		}
	}
	return 0, Errorf(BadRequest, "%s must be an integer from %d to %d", f, ru.min, ru.max)
}

// boolean returns the value of f, which must be true or false.
func (d *Decoder) boolean(f Field) (bool, *Error) {
	switch d.scanner.values[f].kind {
	case kindTrue:
		return true, nil
	case kindFalse:
		return false, nil
	}
	return false, Errorf(BadRequest, "%s must be true or false", f)
}

// stringBytes returns the value of f, which must be a string.
func (d *Decoder) stringBytes(f Field) ([]byte, *Error) {
	v := d.scanner.values[f]
	if v.kind != kindString {
		return nil, Errorf(BadRequest, "%s must be a string", f)
	}
	return d.scanner.unescaped(v), nil
}

// boundedString returns the value of f, which must be a string of a length
// within its rule.
func (d *Decoder) boundedString(f Field) ([]byte, *Error) {
	text, err := d.stringBytes(f)
	if err == nil {
		err = fieldRules[f].checkLength(f, text)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// parseInteger parses an integer that the scanner has checked. ok is false if it
// has more than 18 digits: it might not fit in an int64, and is far above MaxID.
func parseInteger(b []byte) (int64, bool) {
	negative := b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// DecodeResponse decodes the body of a server's frame, for clients. It checks
// JSON and the types of known fields as strictly as Decode, but doesn't check
// lengths and ranges. The fields that a message of its op always has must be
// present, except errmsg. For an unknown op it returns only Op and RID; clients
// ignore such messages. With an error, the response is nil. The error never
// wraps an *Error, because those stand for refusals by the server.
func (d *Decoder) DecodeResponse(body []byte) (*Response, error) {
	r := &d.response
	*r = Response{}
	if syntax := d.scanBody(body); syntax != syntaxOK {
		return nil, fmt.Errorf("proto: invalid JSON at byte %d: %s", d.scanner.pos, syntaxErrorTexts[syntax])
	}
	if err := d.bindHeader(&r.Op, &r.RID, &r.Fields); err != nil {
		return nil, fmt.Errorf("proto: message from the server: %s", err.Message)
	}
	if r.Op <= 0 || r.Op >= OpCount || responseSpecs[r.Op] == nil {
		return r, nil
	}
	if err := d.bindResponse(responseSpecs[r.Op]); err != nil {
		return nil, fmt.Errorf("proto: %s: %w", r.Op, err)
	}
	return r, nil
}

// bindResponse checks the fields against spec and stores them in d.response.
func (d *Decoder) bindResponse(spec *responseSpec) error {
	seen := d.scanner.seen
	may := spec.Always | spec.Success | spec.May
	if spec.Always.Has(FErrno) {
		may |= fieldSet(FErrMsg, FRetryAfter)
	}
	if missing := spec.Always &^ seen &^ (1 << FErrMsg); missing != 0 {
		return fmt.Errorf("%s is missing", Field(bits.TrailingZeros64(uint64(missing))))
	}
	for left := may & seen; left != 0; left &= left - 1 {
		f := Field(bits.TrailingZeros64(uint64(left)))
		if err := d.bindResponseField(f); err != nil {
			return err
		}
	}
	d.response.Fields |= may & seen
	return nil
}

// bindResponseField stores the value of f in d.response.
func (d *Decoder) bindResponseField(f Field) error {
	var err *Error
	switch r := &d.response; fieldRules[f].typ {
	case typeInteger:
		var n int64
		if n, err = d.anyInteger(f); err == nil {
			if f != FErrno {
				*r.integerField(f) = n
			} else if r.Errno = Errno(n); int64(r.Errno) != n {
				err = Errorf(BadRequest, "errno %d is out of range", n)
			}
		}
	case typeBoolean:
		*r.booleanField(f), err = d.boolean(f)
	case typeBytes:
		*r.bytesField(f), err = d.stringBytes(f)
	case typeString:
		var text []byte
		text, err = d.stringBytes(f)
		*r.stringField(f) = d.strings.get(text)
	case typeList:
		return d.bindList(f)
	}
	if err != nil {
		return errors.New(err.Message)
	}
	return nil
}

// anyInteger returns the value of f, an integer of up to 18 digits.
func (d *Decoder) anyInteger(f Field) (int64, *Error) {
	if v := d.scanner.values[f]; v.kind == kindInteger {
		if n, ok := parseInteger(d.scanner.buf[v.start:v.end]); ok {
			return n, nil
		}
	}
	return 0, Errorf(BadRequest, "%s must be an integer", f)
}

// bindList decodes the list f with a JSON library, from the bytes that the
// scanner found. Only clients decode lists, and rarely. bench/results.md
// ("JSON") compares the libraries: this one is two to three times as fast as
// encoding/json. Faster ones depend on assembly or a compiler at run time, or
// accept invalid JSON.
func (d *Decoder) bindList(f Field) error {
	v := d.scanner.values[f]
	if v.kind != kindArray {
		return fmt.Errorf("%s must be a list", f)
	}
	var list any
	switch r := &d.response; f {
	case FFeatures:
		list = &r.Features
	case FFriends:
		list = &r.Friends
	case FGroups:
		list = &r.Groups
	case FUsers:
		list = &r.Users
	case FOffline:
		list = &r.Offline
	case FMessages:
		list = &r.Messages
	case FConversations:
		list = &r.Conversations
	}
	if err := json.Unmarshal(d.scanner.buf[v.start:v.end], list); err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	return nil
}
