package list

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/intra"
)

// fake is a target that keeps its keys in order and answers as a target does.
func fake(keys []string, calls *int) Source {
	slices.Sort(keys)
	return func(_ context.Context, in *intra.ListRequest) (*intra.ListReply, error) {
		*calls++
		reply := &intra.ListReply{}
		for _, e := range expected(keys, *in) {
			if len(reply.Entries) == in.Limit {
				reply.More = true
				break
			}
			reply.Entries = append(reply.Entries, e)
		}
		return reply, nil
	}
}

// expected is the whole list of ordered keys after in.After, by the plainest code.
func expected(keys []string, in intra.ListRequest) []cluster.Entry {
	var out []cluster.Entry
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, in.Prefix)
		if !ok {
			continue
		}
		e := cluster.Entry{Key: cluster.ObjectKey(key)}
		if i := strings.Index(rest, in.Delimiter); in.Delimiter != "" && i >= 0 {
			e = cluster.Entry{Key: cluster.ObjectKey(in.Prefix + rest[:i+len(in.Delimiter)]), Prefix: true}
		}
		if string(e.Key) <= in.After || len(out) > 0 && out[len(out)-1].Key == e.Key {
			continue
		}
		out = append(out, e)
	}
	return out
}

func TestMergeEqualsOneOrderedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfDistinct(rapid.StringMatching(`[a-c/]{1,6}`), rapid.ID[string]).Draw(t, "keys")
		n := rapid.IntRange(1, 5).Draw(t, "targets")
		in := intra.ListRequest{
			Prefix:    rapid.SampledFrom([]string{"", "a", "b/"}).Draw(t, "prefix"),
			Delimiter: rapid.SampledFrom([]string{"", "/", "bc"}).Draw(t, "delimiter"),
			Limit:     rapid.IntRange(1, 20).Draw(t, "limit"),
		}
		shares, calls := make([][]string, n), 0
		for i, key := range keys {
			shares[i%n] = append(shares[i%n], key)
		}
		var sources []Source
		for _, s := range shares {
			sources = append(sources, fake(s, &calls))
		}
		all := slices.Clone(keys)
		slices.Sort(all)
		var got []cluster.Entry
		for {
			page, err := Merge(context.Background(), sources, in)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Entries...)
			if !page.More {
				break
			}
			if len(page.Entries) != in.Limit {
				t.Fatalf("a page that is not the last has %d of %d entries", len(page.Entries), in.Limit)
			}
			in.After = string(got[len(got)-1].Key)
		}
		in.After = ""
		if want := expected(all, in); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	})
}

func TestMergeAsksEachTargetOnceForAnEvenList(t *testing.T) {
	var sources []Source
	calls := 0
	shares := make([][]string, 4)
	for i := range 4000 {
		shares[i%4] = append(shares[i%4], fmt.Sprintf("%06d", i))
	}
	for _, s := range shares {
		sources = append(sources, fake(s, &calls))
	}
	page, err := Merge(context.Background(), sources, intra.ListRequest{Limit: 1000})
	if err != nil || len(page.Entries) != 1000 || !page.More {
		t.Fatalf("%d entries, more %v, %v", len(page.Entries), page.More, err)
	}
	if calls != 4 {
		t.Errorf("%d calls for a page of 4 targets", calls)
	}
}

func TestAPartThatFailsIsAnError(t *testing.T) {
	calls := 0
	down := func(context.Context, *intra.ListRequest) (*intra.ListReply, error) {
		return nil, cluster.E("test", "", cluster.KindUnavailable, errors.New("down"))
	}
	_, err := Merge(context.Background(), []Source{fake([]string{"a"}, &calls), down}, intra.ListRequest{Limit: 10})
	if !cluster.Is(err, cluster.KindUnavailable) {
		t.Errorf("got %v", err)
	}
	lost := 0
	later := func(_ context.Context, in *intra.ListRequest) (*intra.ListReply, error) {
		if lost++; lost > 1 {
			return down(context.Background(), in)
		}
		return &intra.ListReply{Entries: []cluster.Entry{{Key: "b"}}, More: true}, nil
	}
	if _, err := Merge(context.Background(), []Source{later}, intra.ListRequest{Limit: 10}); !cluster.Is(err, cluster.KindUnavailable) {
		t.Errorf("a part that fails later: got %v", err)
	}
	empty := func(context.Context, *intra.ListRequest) (*intra.ListReply, error) {
		return &intra.ListReply{More: true}, nil
	}
	if _, err := Merge(context.Background(), []Source{empty}, intra.ListRequest{Limit: 10}); err == nil {
		t.Error("an empty part that goes on is no error")
	}
}
