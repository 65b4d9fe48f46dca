package proto

// This file exports the tables to the tests in package proto_test.

// Names returns the keys of the fields.
func (s Fields) Names() []string { return s.names() }

// RequestFields returns the required, optional and alternative fields of a
// client's message. ok is false if no client sends op.
func RequestFields(op Op) (need, may, oneOf Fields, ok bool) {
	if op > 0 && op < OpCount && requestSpecs[op] != nil {
		spec := requestSpecs[op]
		return spec.Need, spec.May, spec.OneOf, true
	}
	return 0, 0, 0, false
}

// ResponseFields returns the fields of a server's message: always, only with
// errno 0, and optional. ok is false if no server sends op.
func ResponseFields(op Op) (always, success, may Fields, ok bool) {
	if op > 0 && op < OpCount && responseSpecs[op] != nil {
		spec := responseSpecs[op]
		return spec.Always, spec.Success, spec.May, true
	}
	return 0, 0, 0, false
}

// FieldRule returns the JSON type of a field and the bounds of a client's value:
// of an integer, its value; of a string, its length, in characters if chars is
// set, otherwise in bytes.
func FieldRule(key string) (kind string, least, most int64, chars, ok bool) {
	f, ok := lookupField([]byte(key))
	if !ok {
		return "", 0, 0, false, false
	}
	r := fieldRules[f]
	kind = map[valueType]string{typeInteger: "integer", typeBoolean: "boolean", typeBytes: "string", typeString: "string", typeList: "array"}[r.typ]
	return kind, r.min, r.max, r.countChars, true
}
