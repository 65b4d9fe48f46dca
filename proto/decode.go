package proto

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/go-json-experiment/json"
)

// Decoder reads messages. It is reused, and what it returns holds until its
// next call; the zero value is ready. It is for one goroutine at a time: an
// event loop has one for all its connections. It never blocks, and does not
// allocate for the messages of the hot path (ONE_CHAT, GROUP_CHAT, EVENT,
// RECEIPT, PING and what answers them), as long as they are well-formed.
type Decoder struct {
	scanner  scanner
	request  Request
	response Response
	strings  stringCache
}

// scratchKeep is what a decoder keeps of its scratch between frames.
const maxKeptScratch = 64 << 10

func (d *Decoder) scanBody(body []byte) syntaxError {
	if cap(d.scanner.scratch) > maxKeptScratch {
		d.scanner.scratch = nil
	}
	return d.scanner.scan(body)
}

// Decode reads the body of a client's frame, strictly. It returns the
// request, never nil: beside an error it has Op, and RID with FRID in Fields,
// as far as they could be read. The errors are BadRequest, for what is no
// valid message, and UnknownOp, for what is valid but no op of a client.
func (d *Decoder) Decode(body []byte) (*Request, *Error) {
	r := &d.request
	*r = Request{}
	fault := d.scanBody(body)
	// After a fault too: the answer should find its way to the asker.
	err := d.bindHeader(&r.Op, &r.RID, &r.Fields)
	if fault != syntaxOK {
		return r, Errorf(BadRequest, "no valid JSON at byte %d: %s", d.scanner.pos, syntaxErrorTexts[fault])
	}
	if err != nil {
		return r, err
	}
	if r.Op <= 0 || r.Op >= OpCount || requestSpecs[r.Op] == nil {
		return r, Errorf(UnknownOp, "unknown msgid %d", r.Op)
	}
	return r, d.bindRequest(requestSpecs[r.Op])
}

// heading reads what every message may have: msgid and rid.
func (d *Decoder) bindHeader(op *Op, rid *int64, fields *Fields) *Error {
	var wrong *Error
	if d.scanner.seen.Has(FRID) {
		if *rid, wrong = d.integer(FRID); wrong == nil {
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
	// What doesn't fit is an integer all the same, and no msgid that anyone
	// knows: it stays 0, which is unknown as well.
	if n, ok := parseInteger(d.scanner.buf[v.start:v.end]); ok && n == int64(Op(n)) {
		*op = Op(n)
	}
	return wrong
}

func (d *Decoder) bindRequest(spec *requestSpec) *Error {
	r, seen := &d.request, d.scanner.seen
	may := spec.Need | spec.May | spec.OneOf
	if r.Op == LOGIN {
		if err := checkLogin(seen); err != nil {
			return err
		}
		if seen.Has(FToken) {
			may &^= 1 << FDevice // the token names the device; what stands there is ignored
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

func (d *Decoder) bindRequestField(f Field) *Error {
	var err *Error
	switch r := &d.request; fieldRules[f].typ {
	case typeInteger:
		*r.integerField(f), err = d.integer(f)
	case typeBoolean:
		*r.booleanField(f), err = d.boolean(f)
	case typeBytes:
		*r.bytesField(f), err = d.boundedString(f)
	case typeString:
		var text []byte
		text, err = d.boundedString(f)
		*r.stringField(f) = string(text)
	}
	return err
}

// checkLogin checks that there is one way to say who it is, and no more.
func checkLogin(seen Fields) *Error {
	switch id, name, password := seen.Has(FID), seen.Has(FName), seen.Has(FPassword); {
	case seen.Has(FToken):
		if id || name || password {
			return Errorf(BadRequest, "token stands alone: without id, name and password")
		}
	case id && name:
		return oneOfError(fieldSet(FID, FName), 2)
	case !id && !name:
		return Errorf(BadRequest, "token is missing, or id or name with password")
	case !password:
		return Errorf(BadRequest, "password is missing")
	}
	return nil
}

func oneOfError(of Fields, there int) *Error {
	first := Field(bits.TrailingZeros64(uint64(of)))
	second := Field(bits.TrailingZeros64(uint64(of & (of - 1))))
	if there == 0 {
		return Errorf(BadRequest, "%s or %s is missing", first, second)
	}
	return Errorf(BadRequest, "%s and %s exclude each other", first, second)
}

// integer is the value of f, an integer within its rule.
func (d *Decoder) integer(f Field) (int64, *Error) {
	v, ru := &d.scanner.values[f], &fieldRules[f]
	if v.kind == kindInteger {
		if n, ok := parseInteger(d.scanner.buf[v.start:v.end]); ok && n >= ru.min && n <= ru.max {
			return n, nil
		}
	}
	return 0, Errorf(BadRequest, "%s must be an integer from %d to %d", f, ru.min, ru.max)
}

func (d *Decoder) boolean(f Field) (bool, *Error) {
	switch d.scanner.values[f].kind {
	case kindTrue:
		return true, nil
	case kindFalse:
		return false, nil
	}
	return false, Errorf(BadRequest, "%s must be true or false", f)
}

func (d *Decoder) stringBytes(f Field) ([]byte, *Error) {
	v := d.scanner.values[f]
	if v.kind != kindString {
		return nil, Errorf(BadRequest, "%s must be a string", f)
	}
	return d.scanner.unescaped(v), nil
}

// limited is octets of a length within f's rule.
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

// parseInteger reads an integer that was scanned. It is not ok beyond 18 digits,
// where int64 ends soon, and all that the wire has (MaxID) has ended long ago.
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

// DecodeResponse reads the body of a server's frame, for clients. It is as
// strict as Decode about JSON and the types of the fields that it knows, and
// takes any size and value within the type. What a message of its op always
// has must be there (errmsg need not). An op that it doesn't know is returned
// with Op set, RID where there was one, and no more: clients ignore such.
// Beside an error the response is nil; the error is none that errors.As finds an
// *Error in, as the server has refused nothing.
func (d *Decoder) DecodeResponse(body []byte) (*Response, error) {
	r := &d.response
	*r = Response{}
	if fault := d.scanBody(body); fault != syntaxOK {
		return nil, fmt.Errorf("proto: no valid JSON at byte %d: %s", d.scanner.pos, syntaxErrorTexts[fault])
	}
	if err := d.bindHeader(&r.Op, &r.RID, &r.Fields); err != nil {
		return nil, fmt.Errorf("proto: a server's message: %s", err.Message)
	}
	if r.Op <= 0 || r.Op >= OpCount || responseSpecs[r.Op] == nil {
		return r, nil
	}
	if err := d.bindResponse(responseSpecs[r.Op]); err != nil {
		return nil, fmt.Errorf("proto: %s of a server: %w", r.Op, err)
	}
	return r, nil
}

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

func (d *Decoder) anyInteger(f Field) (int64, *Error) {
	if v := d.scanner.values[f]; v.kind == kindInteger {
		if n, ok := parseInteger(d.scanner.buf[v.start:v.end]); ok {
			return n, nil
		}
	}
	return 0, Errorf(BadRequest, "%s must be an integer", f)
}

// bindList reads the list f by the library, from the bytes that the scanner has
// found it in. Only clients read lists, and not often. bench/results.md ("JSON")
// has how the libraries compare: this one is two to three times as fast as
// encoding/json; those that are faster still bring assembly or a compiler at
// run time with them, or read what is no JSON.
func (d *Decoder) bindList(f Field) error {
	v := d.scanner.values[f]
	if v.kind != kindArray {
		return fmt.Errorf("%s must be a list", f)
	}
	var list any
	switch r := &d.response; f {
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
