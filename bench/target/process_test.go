package target

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// cpuOf finds the CPU time behind a process name that may contain anything.
func TestCPUOf(t *testing.T) {
	stat := []byte("12 (a ) b (c)) S 1 12 12 0 -1 4194304 5 0 0 0 150 25 0 0 20 0 8 0 100 200 300")
	if cpu, err := cpuOf(stat); err != nil || cpu != 1750*time.Millisecond {
		t.Errorf("cpuOf = %v, %v; want 1.75s", cpu, err)
	}
	for _, bad := range []string{"", "12 (name", "12 (name) S 1 2", "12 (a) S 1 12 12 0 -1 4194304 5 0 0 0 x 25 0"} {
		if cpu, err := cpuOf([]byte(bad)); err == nil {
			t.Errorf("cpuOf(%q) = %v, want an error", bad, cpu)
		}
	}
}

// statusBytes converts KiB to bytes.
func TestStatusBytes(t *testing.T) {
	status := []byte("Name:\tchatd\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
	if n, err := statusBytes(status, "VmRSS"); err != nil || n != 1<<20 {
		t.Errorf("statusBytes(VmRSS) = %d, %v; want 1 MiB", n, err)
	}
	if n, err := statusBytes(status, "VmSwap"); err == nil {
		t.Errorf("statusBytes(VmSwap) = %d, want an error", n)
	}
}

// readProcess understands the files of this kernel.
func TestReadProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc as we read it")
	}
	p, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p.RSS < 1<<20 || p.peak < p.RSS {
		t.Errorf("readProcess of this process = %+v, want at least 1 MiB and a peak that isn't lower", p)
	}
	if _, err := readProcess(1 << 30); err == nil {
		t.Error("readProcess of an impossible process id = nil, want an error")
	}
}

// metricValue finds a metric by its whole name.
func TestMetric(t *testing.T) {
	page := []byte("heap_bytes_total 5\nheap_bytes 1.5e+03\nempty\n")
	if v := metricValue(page, "heap_bytes"); v != 1500 {
		t.Errorf("metricValue(heap_bytes) = %d, want 1500", v)
	}
	if v := metricValue(page, "heap"); v != 0 {
		t.Errorf("metricValue(heap) = %d, want 0", v)
	}
}
