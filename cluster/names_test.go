package cluster

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestGeneration(t *testing.T) {
	order := []Generation{{}, {0, 1}, {1, 0}, {1, 9}, {1, 10}, {2, 0}}
	for i, g := range order {
		for j, h := range order {
			if g.Less(h) != (i < j) {
				t.Errorf("%v.Less(%v) = %v", g, h, g.Less(h))
			}
		}
		if parsed, err := ParseGeneration(g.String()); err != nil || parsed != g {
			t.Errorf("ParseGeneration(%q) = %v, %v", g.String(), parsed, err)
		}
	}
	for _, bad := range []string{"", "1", "1.", ".1", "a.b", "1.2.3", "-1.2"} {
		if _, err := ParseGeneration(bad); err == nil {
			t.Errorf("ParseGeneration(%q) gave no error", bad)
		}
	}
}

func TestValidateBucketName(t *testing.T) {
	good := func(name BucketName) {
		t.Helper()
		if err := ValidateBucketName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := func(name BucketName) {
		t.Helper()
		if err := ValidateBucketName(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	for name, ok := range map[BucketName]bool{"a.b-c.9": true, "foo.-bar": false, "foo-.bar": false, "a..b": false} {
		if err := ValidateNewBucketName(name); (err == nil) != ok {
			t.Errorf("new bucket %q: %v", name, err)
		}
	}
	good("a.-b")
	good("abc")
	good("a.b-c.9")
	good("1.2.3")
	good(BucketName(strings.Repeat("a", 63)))
	bad("")
	bad("ab")
	bad("s3")
	bad("v1")
	bad("-")
	bad(BucketName(strings.Repeat("a", 64)))
	bad("Abc")
	bad("a_c")
	bad("a..c")
	bad("-ab")
	bad("ab-")
	bad(".ab")
	bad("192.168.1.1")
	bad("xn--abc")
	bad("abc-s3alias")
	bad("ab/c")
}

func TestParseAddress(t *testing.T) {
	f := func(in string, want Bucket, key ObjectKey) {
		t.Helper()
		b, k, err := ParseAddress(in)
		if err != nil || b != want || k != key {
			t.Errorf("ParseAddress(%q) = %v, %q, %v", in, b, k, err)
		}
	}
	f("ais://b", Native("b"), "")
	f("b", Native("b"), "")
	f("b/dir/key", Native("b"), "dir/key")
	f("s3://b/k", Bucket{Provider: AWS, Name: "b"}, "k")
	f("gs://b", Bucket{Provider: GCP, Name: "b"}, "")
	f("ais://@alias/b/k", Bucket{Provider: AIS, Namespace: "@alias", Name: "b"}, "k")
	f("ais://@u#ns/b//k", Bucket{Provider: AIS, Namespace: "@u#ns", Name: "b"}, "/k")
	if _, _, err := ParseAddress("ftp://b"); err == nil {
		t.Error("an unknown provider is accepted")
	}
	for _, b := range []Bucket{Native("b"), {AWS, "#ns", "b"}} {
		if got, key, err := ParseAddress(b.Object("x/y")); err != nil || got != b || key != "x/y" {
			t.Errorf("%v does not survive printing: %v %q %v", b, got, key, err)
		}
	}
}

func TestValidateKey(t *testing.T) {
	for _, key := range []ObjectKey{"a", "a/", "..", "/", "\x01", "ключ", ObjectKey(strings.Repeat("k", MaxKeyLength))} {
		if err := ValidateKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range []ObjectKey{"", "\xff", ObjectKey(strings.Repeat("k", MaxKeyLength+1))} {
		if err := ValidateKey(key); err == nil {
			t.Errorf("%q is accepted", key)
		}
	}
}

func TestError(t *testing.T) {
	inner := E("disk.Write", "ais://b/k", KindNoSpace, io.ErrShortWrite)
	inner.RetryAfter = time.Second
	outer := E("store.Put", "", KindOther, inner)
	if !Is(outer, KindNoSpace) || outer.RetryAfter != time.Second || !errors.Is(outer, io.ErrShortWrite) {
		t.Errorf("%#v lost the kind, the delay or the cause", outer)
	}
	if got, want := outer.Error(), "store.Put: disk.Write: ais://b/k: short write"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if KindOf(io.EOF) != KindOther || Is(nil, KindOther) {
		t.Error("a foreign error has a kind, or nil is an error")
	}
	for _, k := range Kinds() {
		if ParseKind(k.String()) != k {
			t.Errorf("kind %d does not survive printing as %q", k, k)
		}
	}
	if ParseKind("of-a-later-version") != KindOther {
		t.Error("an unknown kind is not KindOther")
	}
}

func TestRoles(t *testing.T) {
	for _, r := range []Roles{Proxy, Target, Proxy | Target} {
		if got, err := ParseRoles(r.String()); err != nil || got != r {
			t.Errorf("ParseRoles(%q) = %v, %v", r, got, err)
		}
	}
	if _, err := ParseRoles("king"); err == nil {
		t.Error("an unknown role is accepted")
	}
}
