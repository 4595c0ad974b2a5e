package front

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/list"
)

// pageOf makes a page of keys, as "k" or, with a version, "k@v"; a mark at the end says that it goes on.
func pageOf(keys string) list.Page {
	var p list.Page
	keys, p.More = strings.CutSuffix(keys, " ...")
	for word := range strings.FieldsSeq(keys) {
		key, version, _ := strings.Cut(word, "@")
		p.Entries = append(p.Entries, cluster.Entry{Key: cluster.ObjectKey(key), VersionID: cluster.VersionID(version)})
	}
	return p
}

func keysOf(entries []cluster.Entry) string {
	var keys []string
	for _, e := range entries {
		keys = append(keys, word(e.Key, e.VersionID))
	}
	return strings.Join(keys, " ")
}

func word(key cluster.ObjectKey, version cluster.VersionID) string {
	if version == "" {
		return string(key)
	}
	return string(key) + "@" + string(version)
}

// TestCut: of two pages counts what lies before the end of both, and of the second what the first has not, and is not settled.
func TestCut(t *testing.T) {
	f := func(now, frozen, settled, want string) {
		t.Helper()
		a, b := pageOf(now), pageOf(frozen)
		known := make(map[cluster.ObjectKey]bool)
		for key := range strings.FieldsSeq(settled) {
			known[cluster.ObjectKey(key)] = true
		}
		horizon, more := cut(&a, &b, known)
		got := fmt.Sprintf("%s | %s | %s %v", keysOf(a.Entries), keysOf(b.Entries), word(horizon.key, horizon.version), more)
		if got != want {
			t.Errorf("%q and %q: %q, want %q", now, frozen, got, want)
		}
	}
	f("", "", "", " |  |  false")
	f("a c", "b c d", "", "a c | b d |  false")
	f("a c ...", "b c d", "", "a c | b | c true")
	f("a c x", "b c d ...", "", "a c | b d | d true")
	f("a c ...", "b d ...", "", "a c | b | c true")
	f("x y ...", "b d ...", "", " | b d | d true")
	f("", "b d ...", "", " | b d | d true")
	f("", "b d ...", "b d", " |  | d true")

	// A page may end within a key. Of one that both have, the bucket tells how far it got.
	f("a@2 a@1 c@9", "b@3 b@2 ...", "", "a@2 a@1 | b@3 b@2 | b@2 true")
	f("b@9 b@8 ...", "b@3 b@2 d@1", "", "b@9 b@8 |  | b@8 true")
	f("b@9 b@8 ...", "b@3 b@2 ...", "", "b@9 b@8 |  | b@8 true")
	f("b@9 c@1", "b@3 b@2 ...", "", "b@9 |  | b true")
	f("a@1 c@1 ...", "b@3 b@2 ...", "b", "a@1 |  | b true")
}
