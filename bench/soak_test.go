package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A soak of a real server finds its rate, looks at the process until the end,
// and says that it is flat or what has grown.
func TestSoakRealServer(t *testing.T) {
	folder := t.TempDir()
	_, stdout, stderr := chatbench(t, "soak", "--users", "20", "--members", "4", "--rate", "200", "--duration", "1s", "--warmup", "100ms",
		"--every", "100ms", "--leave", "20", "--away", "50ms", "--chatd", chatd(t), "--dir", folder, "--json", "-")
	var rep report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || rep.Failed != "" || rep.Faults > 0 || rep.Soak == nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	p := rep.Soak.Processes
	if len(p) != 1 || !p[0].Node || len(p[0].Looks) == 0 {
		t.Fatalf("%+v", p)
	}
	for _, l := range p[0].Looks {
		for k := range measures {
			if l.of(measureKind(k)) <= 0 {
				t.Errorf("%s is %g: %+v", measures[k].name, l.of(measureKind(k)), l)
			}
		}
	}
	if last := p[0].Looks[len(p[0].Looks)-1]; last.At < 1 {
		t.Errorf("the last look was before the end, at %g s", last.At)
	}
	gone(t, folder, rep.Server.Address)
}

// Of a server whose process is unknown nothing could be said.
func TestSoakNeedsTheProcess(t *testing.T) {
	f := newFake(t)
	code, stdout, _ := chatbench(t, "soak", "--addr", f.addr(), "--rate", "100")
	if code != exitBad || !strings.Contains(stdout, "--pid") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}
