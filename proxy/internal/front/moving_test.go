package front

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/list"
)

// pageOf makes a page of keys; a mark at the end says that it goes on.
func pageOf(keys string) list.Page {
	var p list.Page
	keys, p.More = strings.CutSuffix(keys, " ...")
	for key := range strings.FieldsSeq(keys) {
		p.Entries = append(p.Entries, cluster.Entry{Key: cluster.ObjectKey(key)})
	}
	return p
}

func keysOf(entries []cluster.Entry) string {
	var keys []string
	for _, e := range entries {
		keys = append(keys, string(e.Key))
	}
	return strings.Join(keys, " ")
}

// TestCut: of two pages counts what lies before the end of both, and of the second what the first has not.
func TestCut(t *testing.T) {
	f := func(now, frozen, want string) {
		t.Helper()
		a, b := pageOf(now), pageOf(frozen)
		horizon, more := cut(&a, &b)
		got := fmt.Sprintf("%s | %s | %s %v", keysOf(a.Entries), keysOf(without(b.Entries, a.Entries)), horizon, more)
		if got != want {
			t.Errorf("%q and %q: %q, want %q", now, frozen, got, want)
		}
	}
	f("", "", " |  |  false")
	f("a c", "b c d", "a c | b d |  false")
	f("a c ...", "b c d", "a c | b | c true")
	f("a c x", "b c d ...", "a c | b d | d true")
	f("a c ...", "b d ...", "a c | b | c true")
	f("x y ...", "b d ...", " | b d | d true")
	f("", "b d ...", " | b d | d true")
}
