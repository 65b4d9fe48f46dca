package service_test

import (
	"testing"

	"chatd/proto"
)

// REG refuses names that can deceive: invalid ones with errno 4, and those that
// look like another user's in another script, or like a reserved name, with errno
// 1 like a taken one. So are names that imitate a client's remark beside a name, such
// as "(deleted)", or its word for the user. Group names need not be unique, and may
// have brackets and colons; the other rules hold for them, too.
func TestDeceptiveNames(t *testing.T) {
	t.Parallel()
	n := serve(t)
	w := n.dial()
	reg := func(name string) obj { return obj{"msgid": proto.REG, "name": name, "password": secret} }
	w.ok(reg("coca"))
	w.refused(proto.Refused, reg("\u0441\u043e\u0441\u0430")) // Cyrillic
	w.refused(proto.Refused, reg("\u0421\u041e\u0421\u0410"))
	w.refused(proto.Refused, reg("Admin"))
	w.refused(proto.Refused, reg("adrnin"))
	w.refused(proto.Refused, reg("You"))
	w.refused(proto.Refused, reg("YOU!"))
	w.refused(proto.Refused, reg("我"))
	w.refused(proto.BadRequest, reg("coca\u3164"))
	w.refused(proto.BadRequest, reg("coca (deleted)"))
	w.refused(proto.BadRequest, reg("coca: hi"))
	w.refused(proto.BadRequest, reg("coca ✅"))
	w.refused(proto.BadRequest, reg("c\u0336oca"))
	w.refused(proto.BadRequest, reg("co\u0441a"))
	w.ok(reg("cola"))
	w.ok(obj{"msgid": proto.LOGIN, "name": "cola", "password": secret})
	group := func(name string) obj { return obj{"msgid": proto.CREATE_GROUP, "groupname": name, "groupdesc": ""} }
	w.ok(group("coca"))
	w.ok(group("\u0441\u043e\u0441\u0430"))
	w.ok(group("Admin"))
	w.ok(group("coca: news (weekly) ✅"))
	w.refused(proto.BadRequest, group("coca\u3164"))
	w.refused(proto.BadRequest, group("co\u0441a"))
}

// A user whose name breaks a later rule can still log in by name.
func TestOldNamesStayValid(t *testing.T) {
	t.Parallel()
	n := serve(t)
	for _, old := range []string{"al\u200cice  \u3164", "you", "alice: (✅)"} {
		n.users(old)
		n.dial().ok(obj{"msgid": proto.LOGIN, "name": old, "password": secret})
	}
}

// A password is the same in NFC and NFD: at REG, LOGIN and PASSWORD.
func TestPasswordsAreNormalized(t *testing.T) {
	t.Parallel()
	n := serve(t)
	const composed, decomposed = "caf\u00e9 123", "cafe\u0301\u00a0123"
	const newer, newerDecomposed = "\u00fcber 456", "u\u0308ber 456"
	w := n.dial()
	w.ok(obj{"msgid": proto.REG, "name": "anna", "password": composed})
	w.ok(obj{"msgid": proto.LOGIN, "name": "anna", "password": decomposed})
	w.ok(obj{"msgid": proto.PASSWORD, "password": decomposed, "newpassword": newerDecomposed})
	n.dial().ok(obj{"msgid": proto.LOGIN, "name": "anna", "password": newer})
	n.dial().ok(obj{"msgid": proto.LOGIN, "name": "anna", "password": newerDecomposed})
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "name": "anna", "password": composed})
	n.dial().refused(proto.BadRequest, obj{"msgid": proto.REG, "name": "berta", "password": "e\u0301e\u0301e\u0301"})
}
