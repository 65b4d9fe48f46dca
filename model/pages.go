package model

import (
	"context"
	"fmt"
	"math/bits"
	"strings"

	"chatd/model/recent"
)

// PageRequest asks for a page of a conversation: at most Limit messages after a
// seq.
type PageRequest struct {
	Conv, After int64
	Limit       int
}

// maxPages is the maximum number of pages that one query reads.
const maxPages = 64

// Pages reads several pages. It returns the pages in the order requested, and the
// messages of each page in rising order: at most maxBytes of body, cid and name
// in total, but at least one message if there is one. It needs one query for up
// to maxPages pages.
func (db *DB) Pages(ctx context.Context, pages []PageRequest, maxBytes int) ([]Message, error) {
	var all []Message
	for len(pages) > 0 && (maxBytes > 0 || len(all) == 0) {
		n := min(len(pages), maxPages)
		l, full, err := db.readPages(ctx, pages[:n], maxBytes)
		if err != nil {
			return nil, fmt.Errorf("read pages of %d conversations: %w", n, err)
		}
		all, pages = append(all, l...), pages[n:]
		if full {
			break
		}
		for i := range l {
			maxBytes -= l[i].size()
		}
	}
	return all, nil
}

// readPages reads up to maxPages pages with one query. full reports that it left
// messages out because of maxBytes.
func (db *DB) readPages(ctx context.Context, pages []PageRequest, maxBytes int) (l []Message, full bool, err error) {
	n := 1 << bits.Len(uint(len(pages)-1)) // a power of two: each distinct query is prepared and kept
	args := make([]any, 0, 3*n)
	for i := range n {
		var p PageRequest // padding: an empty page
		if i < len(pages) {
			p = pages[i]
		}
		args = db.pageArgs(args, &p)
	}
	return db.messages(ctx, maxBytes, db.pagesQuery(n), args...)
}

// pagesQuery returns a query for n pages. Both databases return the operands of
// UNION ALL in order.
func (db *DB) pagesQuery(n int) string {
	if n == 1 {
		return db.d.page
	}
	return strings.TrimSuffix(strings.Repeat(db.d.Operand(db.d.page)+" UNION ALL ", n), " UNION ALL ")
}

// pageArgs appends the arguments for one page to args.
func (db *DB) pageArgs(args []any, p *PageRequest) []any {
	args = append(args, p.Conv, p.After, p.Limit)
	if db.recent == nil {
		return args
	}
	ids, last := db.recent.After(p.Conv, p.After, p.Limit)
	return append(args, recent.List(ids), p.Conv, p.After, last, p.Conv, p.Conv, p.After, p.Limit)
}
