package proto

// What the tests of package proto_test look up in the tables.

// Names lists the fields by their keys.
func (s Fields) Names() []string { return s.names() }

// RequestFields says what a client's message of op must have, may have, and
// has one of; ok is false where no client sends it.
func RequestFields(op Op) (need, may, oneOf Fields, ok bool) {
	if op > 0 && op < OpCount && requestSpecs[op] != nil {
		spec := requestSpecs[op]
		return spec.Need, spec.May, spec.OneOf, true
	}
	return 0, 0, 0, false
}

// ResponseFields says what a server's message of op always has, has beside
// errno 0, and may have; ok is false where no server sends it.
func ResponseFields(op Op) (always, success, may Fields, ok bool) {
	if op > 0 && op < OpCount && responseSpecs[op] != nil {
		spec := responseSpecs[op]
		return spec.Always, spec.Success, spec.May, true
	}
	return 0, 0, 0, false
}

// FieldRule says of what JSON type a field is, and within which bounds a
// client's value of it lies: of an integer itself, of a string the length, in
// characters where chars is set, else in bytes.
func FieldRule(key string) (kind string, least, most int64, chars, ok bool) {
	f, ok := lookupField([]byte(key))
	if !ok {
		return "", 0, 0, false, false
	}
	r := fieldRules[f]
	kind = map[valueType]string{typeInteger: "integer", typeBoolean: "boolean", typeBytes: "string", typeString: "string", typeList: "array"}[r.typ]
	return kind, r.min, r.max, r.countChars, true
}
