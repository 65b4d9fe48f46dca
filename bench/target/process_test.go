package target

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// A process name may contain anything. The CPU time follows it.
func TestCPUOf(t *testing.T) {
	stat := []byte("12 (a ) b (c)) S 1 12 12 0 -1 4194304 5 0 0 0 150 25 0 0 20 0 8 0 100 200 300")
	if cpu, err := cpuOf(stat); err != nil || cpu != 1750*time.Millisecond {
		t.Errorf("%v, %v; want 1.75s", cpu, err)
	}
	for _, bad := range []string{"", "12 (name", "12 (name) S 1 2", "12 (a) S 1 12 12 0 -1 4194304 5 0 0 0 x 25 0"} {
		if cpu, err := cpuOf([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, cpu)
		}
	}
}

// Memory is given in KiB.
func TestStatusBytes(t *testing.T) {
	status := []byte("Name:\tchatd\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
	if n, err := statusBytes(status, "VmRSS"); err != nil || n != 1<<20 {
		t.Errorf("%d, %v; want 1 MiB", n, err)
	}
	if n, err := statusBytes(status, "VmSwap"); err == nil {
		t.Errorf("%d for what isn't there", n)
	}
}

// This kernel uses the formats above.
func TestReadProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc as we read it")
	}
	p, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p.RSS < 1<<20 || p.peak < p.RSS {
		t.Errorf("%+v makes no sense for a Go program", p)
	}
	if _, err := readProcess(1 << 30); err == nil {
		t.Error("a process that can't be has been read")
	}
}

// A metric is found by its whole name.
func TestMetric(t *testing.T) {
	page := []byte("heap_bytes_total 5\nheap_bytes 1.5e+03\nempty\n")
	if v := metricValue(page, "heap_bytes"); v != 1500 {
		t.Errorf("%d, want 1500", v)
	}
	if v := metricValue(page, "heap"); v != 0 {
		t.Errorf("%d for what isn't there", v)
	}
}
