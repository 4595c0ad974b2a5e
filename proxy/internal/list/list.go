// Package list merges the parts of a list that the targets hold into one ordered page. Every part is ordered by the bytes
// of its keys; the merge keeps that order, drops common prefixes that several targets report, and asks a target for more
// only when its part ran out before the page was full. A part that cannot be had makes the page an error, never short.
package list

import (
	"cmp"
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
)

// Source is one target's part of a list.
type Source func(ctx context.Context, in *intra.ListRequest) (*intra.ListReply, error)

// Page is a merged page: at most as many entries as were asked for, and whether the list goes on after them.
type Page struct {
	Entries []cluster.Entry
	More    bool
}

// Merge returns the page that in describes, of all sources together.
func Merge(ctx context.Context, sources []Source, in intra.ListRequest) (Page, error) {
	parts := make([]*part, len(sources))
	for i, source := range sources {
		parts[i] = &part{source: source, request: in}
		parts[i].request.Limit = share(in.Limit, len(sources))
	}
	if err := fillAll(ctx, parts); err != nil {
		return Page{}, err
	}
	page := Page{}
	if len(parts) == 1 { // there is nothing to merge
		page.Entries, parts[0].entries = parts[0].entries, nil
	} else {
		page.Entries = make([]cluster.Entry, 0, min(in.Limit, 1000)+1)
	}
	// One more than asked for: it tells whether the list goes on.
	for len(page.Entries) <= in.Limit {
		next, ok, err := takeLeast(ctx, parts)
		if err != nil {
			return Page{}, err
		}
		if !ok {
			return page, nil
		}
		page.Entries = append(page.Entries, next)
	}
	page.Entries, page.More = page.Entries[:in.Limit], true
	return page, nil
}

// share is how much of a page to ask each target for: an equal part and a fifth more, so that one round is nearly always
// enough.
func share(limit, sources int) int {
	return min(limit+1, limit*6/(5*sources)+8)
}

// part is one source with what it sent and was not merged yet.
type part struct {
	source  Source
	request intra.ListRequest
	entries []cluster.Entry
	more    bool
}

func fillAll(ctx context.Context, parts []*part) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range parts {
		g.Go(func() error { return p.fill(ctx) })
	}
	return g.Wait()
}

// fill fetches the next entries of the part, after the last one it sent.
func (p *part) fill(ctx context.Context) error {
	const op = "proxy/list.fill"
	reply, err := p.source(ctx, &p.request)
	if err != nil {
		return cluster.E(op, "", cluster.KindOther, err)
	}
	p.entries, p.more = reply.Entries, reply.More
	if len(reply.Entries) == 0 {
		if reply.More {
			return cluster.Fail(op, "", cluster.KindOther, "a target sent an empty part that goes on")
		}
		return nil
	}
	last := reply.Entries[len(reply.Entries)-1]
	p.request.After, p.request.AfterID, p.request.AfterVersion = string(last.Key), last.UploadID, last.Position()
	return nil
}

// takeLeast removes and returns the least entry of all parts, if any is left. Others that are equal to it are
// the same common prefix at another target, and are removed too.
func takeLeast(ctx context.Context, parts []*part) (entry cluster.Entry, ok bool, err error) {
	var least *part
	for _, p := range parts {
		if len(p.entries) == 0 && p.more {
			if err := p.fill(ctx); err != nil {
				return entry, false, err
			}
		}
		if len(p.entries) > 0 && (least == nil || compare(&p.entries[0], &least.entries[0]) < 0) {
			least = p
		}
	}
	if least == nil {
		return entry, false, nil
	}
	entry = least.entries[0]
	for _, p := range parts {
		if len(p.entries) > 0 && compare(&p.entries[0], &entry) == 0 {
			p.entries = p.entries[1:]
		}
	}
	return entry, true, nil
}

// compare orders entries as S3 does: by the bytes of the key, then by upload.
func compare(a, b *cluster.Entry) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.UploadID, b.UploadID))
}
