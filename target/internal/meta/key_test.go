package meta

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cluster"
	"pgregory.net/rapid"
)

// anyKey draws object keys that are near each other, with the bytes that escaping is about.
func anyKey() *rapid.Generator[cluster.ObjectKey] {
	return rapid.Custom(func(t *rapid.T) cluster.ObjectKey {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0x00, 0x01, 0x02, 'a', '/', 0xfe, 0xff}), 0, 6).Draw(t, "key")
		return cluster.ObjectKey(b)
	})
}

func anyRef() *rapid.Generator[Ref] {
	return rapid.Custom(func(t *rapid.T) Ref {
		small := rapid.SampledFrom([]uint64{0, 1, 2, 255, 256, 1 << 40, 1<<64 - 1})
		r := Ref{
			Kind:       rapid.SampledFrom(recordKinds[:]).Draw(t, "kind"),
			Bucket:     cluster.BucketID(small.Draw(t, "bucket")),
			Key:        anyKey().Draw(t, "key"),
			Generation: cluster.Generation{Epoch: cluster.Epoch(small.Draw(t, "epoch")), Counter: small.Draw(t, "counter")},
		}
		if r.Kind.isObject() {
			r.Version = small.Draw(t, "version")
		}
		if r.Kind.hasUpload() {
			r.Upload = cluster.UploadID(anyKey().Draw(t, "upload"))
		}
		if r.Kind == UploadPart {
			r.Part = uint32(small.Draw(t, "part"))
		}
		return r
	})
}

// compareRefs is the order that keys must have: as the parts compare, the newest version and generation first.
func compareRefs(a, b Ref) int {
	newestFirst := func(a, b uint64) int { return cmp.Compare(b, a) }
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Bucket, b.Bucket),
		strings.Compare(string(a.Key), string(b.Key)),
		newestFirst(a.Version, b.Version),
		strings.Compare(string(a.Upload), string(b.Upload)),
		cmp.Compare(a.Part, b.Part),
		newestFirst(uint64(a.Generation.Epoch), uint64(b.Generation.Epoch)),
		newestFirst(a.Generation.Counter, b.Generation.Counter),
	)
}

func TestKeysKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRef().Draw(t, "a"), anyRef().Draw(t, "b")
		if got, want := bytes.Compare(a.appendKey(nil), b.appendKey(nil)), compareRefs(a, b); got != want {
			t.Fatalf("%v and %v: keys compare %d, want %d", a, b, got, want)
		}
		back, err := parseKey(a.appendKey(nil))
		if err != nil || back != a {
			t.Fatalf("%v became %v, %v", a, back, err)
		}
	})
}

func TestPrefixesAreRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, prefix := anyRef().Draw(t, "ref"), string(anyKey().Draw(t, "prefix"))
		rng := Range{Kind: r.Kind, Bucket: r.Bucket, Prefix: prefix}
		lower, upper := rng.bounds()
		key := r.appendKey(nil)
		inside := bytes.Compare(lower, key) <= 0 && (upper == nil || bytes.Compare(key, upper) < 0)
		if want := strings.HasPrefix(string(r.Key), prefix); inside != want {
			t.Fatalf("%v with prefix %q: inside %v, want %v", r, prefix, inside, want)
		}
		rng.Prefix, rng.From = "", cluster.ObjectKey(prefix)
		lower, _ = rng.bounds()
		if want := string(r.Key) >= prefix; bytes.Compare(lower, key) <= 0 != want {
			t.Fatalf("%v from %q: behind %v, want %v", r, prefix, !want, want)
		}
	})
}

// TestSplit holds what Pebble demands of a comparer: all keys of an object share the prefix and no others do, a prefix is
// its own prefix, and the order of keys is that of prefixes first.
func TestSplit(t *testing.T) {
	c := comparer()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRef().Draw(t, "a"), anyRef().Draw(t, "b")
		ka, kb := a.appendKey(nil), b.appendKey(nil)
		if rapid.Bool().Draw(t, "doubts") {
			ka, kb = a.appendDoubt(nil), b.appendDoubt(nil)
		}
		pa, pb := ka[:split(ka)], kb[:split(kb)]
		same := a.Kind == b.Kind && a.Bucket == b.Bucket && a.Key == b.Key
		if bytes.Equal(pa, pb) != same {
			t.Fatalf("%v and %v: prefixes %x and %x", a, b, pa, pb)
		}
		if split(pa) != len(pa) {
			t.Fatalf("prefix %x has prefix %x", pa, pa[:split(pa)])
		}
		order := cmp.Or(bytes.Compare(pa, pb), c.ComparePointSuffixes(ka[len(pa):], kb[len(pb):]))
		if got := c.Compare(ka, kb); got != order {
			t.Fatalf("%v and %v compare %d, by prefix %d", a, b, got, order)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, r := range []Ref{{Kind: Current, Key: "a\x00b"}, {Kind: UploadPart, Key: "k", Upload: "u", Part: 3}} {
		f.Add(r.appendKey(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseKey(b)
		if err == nil && !bytes.Equal(r.appendKey(nil), b) {
			t.Fatalf("%x became %v and then %x", b, r, r.appendKey(nil))
		}
		if n := split(b); n > len(b) || n < len(b) && split(b[:n]) != n {
			t.Fatalf("split of %x is %d", b, n)
		}
	})
}

func FuzzReadRecord(f *testing.F) {
	key := []byte("key")
	r := current("k", 5)
	r.Inline = []byte("12345")
	r.Parts = []Part{{Number: 1, ETag: "e"}}
	b, err := appendRecord(nil, key, &r.Fields)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-sumSize], uint16(len(r.Inline)))
	f.Fuzz(func(t *testing.T, body []byte, data uint16) {
		var fields Fields
		n := min(int(data), len(body)) // bytes at the end that the checksum of the value leaves out
		value := append(sealValue(key, bytes.Clone(body[:len(body)-n]), 0), make([]byte, n)...)
		copy(value[len(body):], value[len(body)-n:])
		copy(value[len(body)-n:], body[len(body)-n:])
		var listed Fields
		err := readWhole(key, value, &fields)
		if lerr := readListed(key, value, &listed); err == nil && lerr != nil {
			t.Fatalf("a list cannot show what was read: %v", lerr)
		}
		if err != nil {
			return
		}
		if listed.Size != fields.Size || listed.ETag != fields.ETag || !listed.Modified.Equal(fields.Modified) || listed.Counter != fields.Counter ||
			listed.Owner != fields.Owner || len(listed.Sums) != len(fields.Sums) || listed.Composite != fields.Composite || !slices.Equal(listed.Want, fields.Want) {
			t.Fatalf("listed as %+v, read as %+v", listed, fields)
		}
		again, err := appendRecord(nil, key, &fields)
		if err != nil {
			t.Fatal(err)
		}
		if err := readWhole(key, again, &Fields{}); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
