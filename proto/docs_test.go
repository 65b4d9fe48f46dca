package proto

import (
	"bufio"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// messageRow is one row of the tables of frames in docs/protocol.md.
type messageRow struct {
	op         Op
	name, way  string
	all, after Fields // all fields; the fields after "on success"
}

var (
	parenthesised = regexp.MustCompile(`\([^()]*\)`)
	fieldName     = regexp.MustCompile("`([a-z_]+)`")
)

// messageRows parses the tables. Field names in backticks outside parentheses are
// the fields of the message.
func messageRows(t *testing.T) []messageRow {
	t.Helper()
	file, err := os.Open("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var rows []messageRow
	section := ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "## ") {
			section = line
		}
		cells := strings.Split(line, " | ")
		if section != "## Frames" || len(cells) != 4 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(cells[0], "| "))
		if err != nil {
			continue // the table's header
		}
		row := messageRow{op: Op(n), name: cells[1], way: cells[2]}
		text := parenthesised.ReplaceAllString(cells[3], "")
		success := strings.Index(text, "on success")
		for _, m := range fieldName.FindAllStringSubmatchIndex(text, -1) {
			f, known := lookupField([]byte(text[m[2]:m[3]]))
			if !known {
				continue
			}
			row.all |= 1 << f
			if success >= 0 && m[2] > success {
				row.after |= 1 << f
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// names returns the keys of the fields.
func (s Fields) names() (names []string) {
	for f := range fieldCount {
		if s.Has(f) {
			names = append(names, f.String())
		}
	}
	return names
}

// The tables of messages in docs/protocol.md are complete and correct: ops, numbers,
// directions and fields.
func TestPublishedTable(t *testing.T) {
	sent, answered := map[Op]bool{}, map[Op]bool{}
	for _, row := range messageRows(t) {
		if row.op.String() != row.name {
			t.Errorf("msgid %d: the page has %s, the code %s", int(row.op), row.name, row.op)
			continue
		}
		if row.way == "c→s" || row.way == "both" {
			sent[row.op] = true
			if spec := requestSpecs[row.op]; spec == nil {
				t.Errorf("%s c→s: the page has it, requestSpecs doesn't", row.name)
			} else if has := spec.Need | spec.May | spec.OneOf; has != row.all {
				t.Errorf("%s c→s: missing on the page: %v; missing in the code: %v", row.name, (has &^ row.all).names(), (row.all &^ has).names())
			}
		}
		if row.way == "s→c" || row.way == "both" {
			answered[row.op] = true
			spec := responseSpecs[row.op]
			if spec == nil {
				t.Errorf("%s s→c: the page has it, responseSpecs doesn't", row.name)
				continue
			}
			if has := spec.Always | spec.Success | spec.May; has != row.all {
				t.Errorf("%s s→c: missing on the page: %v; missing in the code: %v", row.name, (has &^ row.all).names(), (row.all &^ has).names())
			}
			if wrong := spec.Always&row.after | spec.Success&^row.after; wrong != 0 {
				t.Errorf("%s s→c: docs/protocol.md and proto/fields.go disagree on which fields are sent only on success: %v", row.name, wrong.names())
			}
		}
		if row.way != "c→s" && row.way != "s→c" && row.way != "both" {
			t.Errorf("%s: direction %q, want c→s, s→c or both", row.name, row.way)
		}
	}
	for op := Op(1); op < OpCount; op++ {
		if (requestSpecs[op] != nil) != sent[op] {
			t.Errorf("%s c→s: in the code: %v, on the page: %v", op, requestSpecs[op] != nil, sent[op])
		}
		if (responseSpecs[op] != nil) != answered[op] {
			t.Errorf("%s s→c: in the code: %v, on the page: %v", op, responseSpecs[op] != nil, answered[op])
		}
	}
}

// The tables of the code are consistent: every request has an answer that servers
// send, every field has a name and a rule, and Request and Response have all fields
// of the specs.
func TestTables(t *testing.T) {
	for op := Op(1); op < OpCount; op++ {
		if sent := requestSpecs[op] != nil; sent != (op.Ack() != 0 || op == PONG) {
			t.Errorf("%s: in requestSpecs: %v, Ack() = %v; want both or neither", op, sent, op.Ack())
		}
		if ack := op.Ack(); ack != 0 && responseSpecs[ack] == nil {
			t.Errorf("%s is answered with %s, which is not in responseSpecs", op, ack)
		}
		if spec := requestSpecs[op]; spec != nil {
			var r Request
			for f := range fieldCount {
				if (spec.Need | spec.May | spec.OneOf).Has(f) && r.integerField(f) == nil && r.booleanField(f) == nil && r.bytesField(f) == nil && r.stringField(f) == nil {
					t.Errorf("%s c→s has the field %s, but Request doesn't", op, f)
				}
			}
		}
		if spec := responseSpecs[op]; spec != nil {
			var r Response
			for f := range fieldCount {
				if (spec.Always | spec.Success | spec.May).Has(f) && r.integerField(f) == nil && r.booleanField(f) == nil && r.bytesField(f) == nil && r.stringField(f) == nil &&
					f != FErrno && fieldRules[f].typ != typeList {
					t.Errorf("%s s→c has the field %s, but Response doesn't", op, f)
				}
			}
		}
	}
	var q Request
	var r Response
	for f := range fieldCount {
		if got, ok := lookupField([]byte(f.String())); !ok || got != f || f.String() == "" {
			t.Errorf("lookupField(%q) = %v, %v; want the field itself", f, got, ok)
		}
		ru := fieldRules[f]
		if ru.typ == 0 {
			t.Errorf("fieldRules has no rule for %s", f)
		}
		for shape, has := range map[valueType]bool{
			typeInteger: q.integerField(f) != nil || r.integerField(f) != nil, typeBoolean: q.booleanField(f) != nil || r.booleanField(f) != nil,
			typeBytes: q.bytesField(f) != nil || r.bytesField(f) != nil, typeString: q.stringField(f) != nil || r.stringField(f) != nil,
		} {
			if has && ru.typ != shape {
				t.Errorf("%s: type %d in the structs, %d in its rule", f, shape, ru.typ)
			}
		}
	}
	for _, key := range []string{"", "x", "msgI", "msgidd", "Msgid", "offlinems"} {
		if f, ok := lookupField([]byte(key)); ok {
			t.Errorf("lookupField(%q) = %s, want none", key, f)
		}
	}
}
