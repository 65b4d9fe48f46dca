package reactor

import (
	"fmt"
	"testing"
)

// A frame that comes byte by byte is the same frame. The ancestor took what
// one read had for a request.
func TestSplitFrames(t *testing.T) {
	c := dial(t, serve(t, &funcs{}))
	for i := range 3 {
		text := fmt.Sprint("split ", i)
		for _, b := range frame(chat(text)) {
			c.raw([]byte{b})
		}
		c.wantText(text)
	}
}

// A thousand frames in one write are a thousand frames, in order.
func TestMergedFrames(t *testing.T) {
	c := dial(t, serve(t, &funcs{}))
	var all []byte
	for i := range 1000 {
		all = append(all, frame(chat(fmt.Sprint("merged ", i)))...)
	}
	c.raw(all)
	for i := range 1000 {
		c.wantText(fmt.Sprint("merged ", i))
	}
}
