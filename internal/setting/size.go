package setting

import (
	"fmt"
	"strconv"
	"strings"
)

var sizeUnits = []struct {
	name  string
	bytes int
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// ParseSize reads a number of bytes, such as 65536, 64KiB, 1MiB or 1GiB.
func ParseSize(text string) (int, error) {
	number, unit := text, 1
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = n, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size such as 65536, 64KiB or 1MiB", text)
	}
	return int(n) * unit, nil
}

// FormatSize formats a number of bytes so that ParseSize can read it, in the
// largest unit that divides n evenly.
func FormatSize(n int) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return strconv.Itoa(n)
}
