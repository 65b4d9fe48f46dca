package proto

import (
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// fieldKeys holds the encoded key of each field, with the comma before it and
// the colon after it. msgid is always the first field, so its key has a brace
// instead of the comma.
var fieldKeys = buildFieldKeys(fieldNames)

func buildFieldKeys(names [fieldCount]string) (keys [fieldCount]string) {
	for f, name := range names {
		keys[f] = `,"` + name + `":`
	}
	keys[FMsgID] = `{"msgid":`
	return keys
}

// AppendRequest appends the JSON of a client's message to dst. It writes the
// fields that the op needs, and those of the optional fields that are in
// r.Fields or aren't zero. For an op that no client sends, it writes only msgid
// and rid.
func AppendRequest(dst []byte, r *Request) []byte {
	dst = append(dst, fieldKeys[FMsgID]...)
	dst = strconv.AppendInt(dst, int64(r.Op), 10)
	if r.RID != 0 || r.Fields.Has(FRID) {
		dst = append(dst, fieldKeys[FRID]...)
		dst = strconv.AppendInt(dst, r.RID, 10)
	}
	if r.Op <= 0 || r.Op >= OpCount || requestSpecs[r.Op] == nil {
		return append(dst, '}')
	}
	spec := requestSpecs[r.Op]
	for left := spec.Need | spec.May | spec.OneOf; left != 0; left &= left - 1 {
		f := Field(bits.TrailingZeros64(uint64(left)))
		force := spec.Need.Has(f) || r.Fields.Has(f)
		switch fieldRules[f].typ {
		case typeInteger:
			if v := *r.integerField(f); v != 0 || force {
				dst = append(dst, fieldKeys[f]...)
				dst = strconv.AppendInt(dst, v, 10)
			}
		case typeBoolean:
			if v := *r.booleanField(f); v || force {
				dst = append(dst, fieldKeys[f]...)
				dst = strconv.AppendBool(dst, v)
			}
		case typeBytes:
			if v := *r.bytesField(f); len(v) != 0 || force {
				dst = append(dst, fieldKeys[f]...)
				dst = AppendString(dst, v)
			}
		case typeString:
			if v := *r.stringField(f); v != "" || force {
				dst = append(dst, fieldKeys[f]...)
				dst = AppendString(dst, v)
			}
		}
	}
	return append(dst, '}')
}

// AppendResponse appends the JSON of a server's message to dst, according to the
// table in fields.go: without spaces, in the order of the Field constants. For
// an op that no server sends, it writes only msgid and rid. It doesn't allocate
// if dst has enough capacity.
func AppendResponse(dst []byte, r *Response) []byte {
	dst = append(dst, fieldKeys[FMsgID]...)
	dst = strconv.AppendInt(dst, int64(r.Op), 10)
	for left := r.fieldsToWrite(); left != 0; left &= left - 1 {
		f := Field(bits.TrailingZeros64(uint64(left)))
		dst = append(dst, fieldKeys[f]...)
		switch fieldRules[f].typ {
		case typeInteger:
			if f == FErrno {
				dst = strconv.AppendInt(dst, int64(r.Errno), 10)
			} else {
				dst = strconv.AppendInt(dst, *r.integerField(f), 10)
			}
		case typeBoolean:
			dst = strconv.AppendBool(dst, *r.booleanField(f))
		case typeBytes:
			dst = AppendString(dst, *r.bytesField(f))
		case typeString:
			dst = AppendString(dst, *r.stringField(f))
		case typeList:
			dst = appendList(dst, r, f)
		}
	}
	return append(dst, '}')
}

// fieldsToWrite returns the fields that AppendResponse writes, without msgid.
func (r *Response) fieldsToWrite() Fields {
	s := r.Fields & (1 << FRID)
	if r.Op <= 0 || r.Op >= OpCount || responseSpecs[r.Op] == nil {
		return s
	}
	spec := responseSpecs[r.Op]
	s |= spec.Always
	if r.Errno == Done {
		s |= spec.Success
	} else if spec.Always.Has(FErrno) {
		s |= 1 << FErrMsg
		if r.RetryAfter != 0 {
			s |= 1 << FRetryAfter
		}
	}
	for left := spec.May; left != 0; left &= left - 1 {
		if f := Field(bits.TrailingZeros64(uint64(left))); r.isSet(f) {
			s |= 1 << f
		}
	}
	return s
}

// isSet reports whether f isn't zero, or, for a list, not nil.
func (r *Response) isSet(f Field) bool {
	switch fieldRules[f].typ {
	case typeInteger:
		return *r.integerField(f) != 0
	case typeBoolean:
		return *r.booleanField(f)
	case typeBytes:
		return len(*r.bytesField(f)) != 0
	case typeString:
		return *r.stringField(f) != ""
	}
	return r.hasList(f)
}

// AppendString appends s to dst as a JSON string. It escapes quotes, backslashes
// and control characters only. Invalid UTF-8 becomes U+FFFD, so the result is
// always valid.
func AppendString[T stringOrBytes](dst []byte, s T) []byte {
	dst = append(dst, '"')
	done := 0 // s[:done] is in dst
	for i := 0; i < len(s); {
		for len(s)-i >= 8 {
			if special := maskSpecial(load64(s[i : i+8])); special != 0 {
				i += bits.TrailingZeros64(special) >> 3
				break
			}
			i += 8
		}
		if i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			for i+2 < len(s) && isCommonThreeByte(s[i], s[i+1], s[i+2]) {
				i += 3
			}
			if i == len(s) || s[i] < utf8.RuneSelf {
				continue
			}
			n := runeLen(s[i:])
			if n == 0 {
				dst = append(dst, s[done:i]...)
				dst = append(dst, "\uFFFD"...)
				n = 1
				done = i + n
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[done:i]...)
			dst = appendEscape(dst, c)
			done = i + 1
		}
		i++
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}
