package front

import (
	"reflect"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

func exampleInfo() *store.Info {
	return &store.Info{
		Size: 5, ETag: "e", Modified: time.Unix(1, 2).UTC(), Composite: true, PartCount: 2, Sums: store.Sums{{Type: cluster.ChecksumMD5, Value: []byte{1, 2}}},
		Metadata: store.Metadata{
			Headers: []store.Pair{{Name: "Content-Type", Value: "x"}}, User: []store.Pair{{Name: "a", Value: "\xff\x00"}}, Custom: []store.Pair{{Name: "c", Value: ""}},
		},
	}
}

func TestInfoOnTheWire(t *testing.T) {
	info := exampleInfo()
	text, err := encodeInfo(info)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeInfo(text)
	if err != nil || !reflect.DeepEqual(got, info) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzInfo(f *testing.F) {
	text, err := encodeInfo(exampleInfo())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("")
	f.Add("bnVsbA==")
	f.Fuzz(func(t *testing.T, text string) {
		info, err := decodeInfo(text)
		if err != nil {
			return
		}
		// What was read can be used: checksums of a wrong length are not shown.
		for _, c := range checksums(info.Sums, info.PartCount) {
			if c.text == "" {
				t.Fatalf("%+v", info)
			}
		}
		if _, err := encodeInfo(info); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzNativeRequest(f *testing.F) {
	f.Add("/v1/objects/bucket/a%20b", "provider=ais", "xxhash", "00ff", "a=b")
	f.Add("/v1/objects/", "namespace=@%23", "none", "", "")
	f.Fuzz(func(t *testing.T, path, query, sumType, sum, custom string) {
		r := &request{req: httpd.NewRequest("PUT", "/", nil, 0, "Ais-Checksum-Type", sumType, "Ais-Checksum-Value", sum, "Ais-Custom-Md", custom)}
		r.req.Path, r.req.Query = path, query
		if _, key, err := nativePath(r); err == nil && cluster.ValidateKey(key) != nil {
			t.Fatalf("key %q", key)
		}
		if pairs, err := nativeCustom(r); err == nil && (len(pairs) != 1 || pairs[0].Name == "") {
			t.Fatalf("%q: %+v", custom, pairs)
		}
		if _, err := nativeChecksum(r); err != nil && s3.StatusOf(err) != 400 && s3.StatusOf(err) != 501 {
			t.Fatal(err)
		}
	})
}
