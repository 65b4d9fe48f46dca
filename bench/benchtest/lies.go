package benchtest

import (
	"bytes"

	"chatd/proto"
)

// At returns a function that applies lie to message number n only.
func At(n int64, lie func(r proto.Response) []proto.Response) func(int64, proto.Response) []proto.Response {
	return func(i int64, r proto.Response) []proto.Response {
		if i == n {
			return lie(r)
		}
		return []proto.Response{r}
	}
}

// Drop loses a response.
func Drop(proto.Response) []proto.Response { return nil }

// Twice repeats a response.
func Twice(r proto.Response) []proto.Response { return []proto.Response{r, r} }

// Changed returns a lie that changes a response.
func Changed(change func(r *proto.Response)) func(proto.Response) []proto.Response {
	return func(r proto.Response) []proto.Response {
		change(&r)
		return []proto.Response{r}
	}
}

// Swap returns a function that swaps messages n and n+1. Unless seqs is set,
// their seqs stay in order. It is for one pair.
func Swap(n int64, seqs bool) func(int64, proto.Response) []proto.Response {
	var kept proto.Response
	return func(i int64, r proto.Response) []proto.Response {
		switch i {
		case n:
			kept = r
			kept.Msg, kept.CID, kept.Data = bytes.Clone(r.Msg), bytes.Clone(r.CID), bytes.Clone(r.Data)
			return nil
		case n + 1:
			if !seqs {
				r.Seq, kept.Seq = kept.Seq, r.Seq
			}
			return []proto.Response{r, kept}
		}
		return []proto.Response{r}
	}
}
