package model

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
)

// PageRequest asks for a page of a conversation: the messages after a seq, at most
// Limit.
type PageRequest struct {
	Conv, After int64
	Limit       int
}

// maxPages is how many pages one query reads.
const maxPages = 16

// Pages reads several pages: the messages of each in rising order, one page
// after the other. It returns as many messages as maxBytes of body, cid and
// name hold, but at least one if there is one. It needs one query for up to
// maxPages pages.
func (db *DB) Pages(ctx context.Context, parts []PageRequest, maxBytes int) ([]Message, error) {
	var all []Message
	for len(parts) > 0 && (maxBytes > 0 || len(all) == 0) {
		n := min(len(parts), maxPages)
		l, full, err := db.readPages(ctx, parts[:n], maxBytes)
		if err != nil {
			return nil, fmt.Errorf("pages of %d conversations: %w", n, err)
		}
		all, parts = append(all, l...), parts[n:]
		if full {
			break
		}
		for i := range l {
			maxBytes -= l[i].size()
		}
	}
	return all, nil
}

// readPages reads up to maxPages pages with one query. full: not all messages
// had room.
func (db *DB) readPages(ctx context.Context, pages []PageRequest, maxBytes int) (l []Message, full bool, err error) {
	n := 1 << bits.Len(uint(len(pages)-1)) // few distinct queries, as each is prepared
	args := make([]any, 0, 3*n)
	for i := range n {
		var p PageRequest // padding: an empty page
		if i < len(pages) {
			p = pages[i]
		}
		args = append(args, p.Conv, p.After, p.Limit)
	}
	return db.messages(ctx, maxBytes, db.pagesQuery(n), args...)
}

// pagesQuery is a query for n pages. Both databases return the operands of
// UNION ALL one after the other.
func (db *DB) pagesQuery(n int) string {
	page := `SELECT ` + messageColumns + ` WHERE m.conversation_id = ? AND m.seq > ? ORDER BY m.seq` + db.d.Limit
	if n == 1 {
		return page
	}
	return strings.TrimSuffix(strings.Repeat(db.d.Operand(page)+" UNION ALL ", n), " UNION ALL ")
}
