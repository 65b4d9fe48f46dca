package proto

import (
	"bufio"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// messageRow is one row of the table of messages in docs/protocol.md.
type messageRow struct {
	op         Op
	name, way  string
	all, after Fields // all fields; the fields after "on success"
}

var (
	parenthesised = regexp.MustCompile(`\([^()]*\)`)
	fieldName     = regexp.MustCompile("`([a-z_]+)`")
)

// messageRows parses the table: a field is a field name in backticks, outside
// parentheses.
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
		if section != "## Messages" || len(cells) != 4 {
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(cells[0], "| "))
		if err != nil {
			continue // the head
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

func (s Fields) names() (names []string) {
	for f := range fieldCount {
		if s.Has(f) {
			names = append(names, f.String())
		}
	}
	return names
}

// The table of messages in docs/protocol.md is complete and correct: ops,
// numbers, directions and fields.
func TestPublishedTable(t *testing.T) {
	sent, answered := map[Op]bool{}, map[Op]bool{}
	for _, row := range messageRows(t) {
		if row.op.String() != row.name {
			t.Errorf("%d is %s on the page, and %s here", row.op, row.name, row.op)
			continue
		}
		if row.way == "c→s" || row.way == "both" {
			sent[row.op] = true
			if spec := requestSpecs[row.op]; spec == nil {
				t.Errorf("%s c→s: on the page, but not in requestSpecs", row.name)
			} else if has := spec.Need | spec.May | spec.OneOf; has != row.all {
				t.Errorf("%s c→s: the page has not %v, we have not %v", row.name, (has &^ row.all).names(), (row.all &^ has).names())
			}
		}
		if row.way == "s→c" || row.way == "both" {
			answered[row.op] = true
			spec := responseSpecs[row.op]
			if spec == nil {
				t.Errorf("%s s→c: on the page, but not in responseSpecs", row.name)
				continue
			}
			if has := spec.Always | spec.Success | spec.May; has != row.all {
				t.Errorf("%s s→c: the page has not %v, we have not %v", row.name, (has &^ row.all).names(), (row.all &^ has).names())
			}
			if wrong := spec.Always&row.after | spec.Success&^row.after; wrong != 0 {
				t.Errorf("%s s→c: on success only, or always? %v", row.name, wrong.names())
			}
		}
		if row.way != "c→s" && row.way != "s→c" && row.way != "both" {
			t.Errorf("%s goes %q", row.name, row.way)
		}
	}
	for op := Op(1); op < OpCount; op++ {
		if (requestSpecs[op] != nil) != sent[op] {
			t.Errorf("%s c→s: ours: %v, on the page: %v", op, requestSpecs[op] != nil, sent[op])
		}
		if (responseSpecs[op] != nil) != answered[op] {
			t.Errorf("%s s→c: ours: %v, on the page: %v", op, responseSpecs[op] != nil, answered[op])
		}
	}
}

// The tables are consistent: requests have answers that a server sends, fields
// have names and rules, and Request and Response have all fields of the specs.
func TestTables(t *testing.T) {
	for op := Op(1); op < OpCount; op++ {
		if sent := requestSpecs[op] != nil; sent != (op.Ack() != 0 || op == PONG) {
			t.Errorf("%s: a client sends it: %v, it has an answer: %v", op, sent, op.Ack())
		}
		if ack := op.Ack(); ack != 0 && responseSpecs[ack] == nil {
			t.Errorf("%s is answered with %s, which no server sends", op, ack)
		}
		if spec := requestSpecs[op]; spec != nil {
			var r Request
			for f := range fieldCount {
				if (spec.Need | spec.May | spec.OneOf).Has(f) && r.integerField(f) == nil && r.booleanField(f) == nil && r.bytesField(f) == nil && r.stringField(f) == nil {
					t.Errorf("%s c→s has %s, Request has not", op, f)
				}
			}
		}
		if spec := responseSpecs[op]; spec != nil {
			var r Response
			for f := range fieldCount {
				if (spec.Always | spec.Success | spec.May).Has(f) && r.integerField(f) == nil && r.booleanField(f) == nil && r.bytesField(f) == nil && r.stringField(f) == nil &&
					f != FErrno && fieldRules[f].typ != typeList {
					t.Errorf("%s s→c has %s, Response has not", op, f)
				}
			}
		}
	}
	var q Request
	var r Response
	for f := range fieldCount {
		if got, ok := lookupField([]byte(f.String())); !ok || got != f || f.String() == "" {
			t.Errorf("%q is found as %v", f, got)
		}
		ru := fieldRules[f]
		if ru.typ == 0 {
			t.Errorf("%s has no rule", f)
		}
		for shape, has := range map[valueType]bool{
			typeInteger: q.integerField(f) != nil || r.integerField(f) != nil, typeBoolean: q.booleanField(f) != nil || r.booleanField(f) != nil,
			typeBytes: q.bytesField(f) != nil || r.bytesField(f) != nil, typeString: q.stringField(f) != nil || r.stringField(f) != nil,
		} {
			if has && ru.typ != shape {
				t.Errorf("%s lies in the structs as shape %d, its rule says %d", f, shape, ru.typ)
			}
		}
	}
	for _, key := range []string{"", "x", "msgI", "msgidd", "Msgid", "offlinems"} {
		if f, ok := lookupField([]byte(key)); ok {
			t.Errorf("%q is found as %s", key, f)
		}
	}
}
