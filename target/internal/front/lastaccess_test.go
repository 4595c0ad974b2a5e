package front

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/s3"
)

func TestLastAccess(t *testing.T) {
	b := newBed(t, "n1")
	b.do("PUT", "/bucket/k", "hello").want(t, 200)
	told := func(method string) time.Time {
		t.Helper()
		at, err := time.Parse(time.RFC1123, b.do(method, "/bucket/k", "").want(t, 200).header("Last-Modified"))
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	wrote := told("HEAD")
	time.Sleep(1100 * time.Millisecond) // Last-Modified has whole seconds
	if at := told("GET"); !at.Equal(wrote) {
		t.Fatalf("without the flag: %s, written at %s", at, wrote)
	}
	b.state.settings = map[string]string{"features": "S3-Last-Modified-Atime"}
	for _, method := range []string{"HEAD", "GET"} {
		if at := told(method); !at.After(wrote) {
			t.Errorf("%s: %s, written at %s", method, at, wrote)
		}
	}
	b.do("GET", "/bucket/k", "", "Range", "bytes=0-1").want(t, 206)
	b.do("GET", "/bucket/k", "", "If-Modified-Since", s3.FormatHTTPDate(told("HEAD"))).want(t, 304)
	b.do("GET", "/bucket/k", "", "If-Unmodified-Since", s3.FormatHTTPDate(told("HEAD"))).want(t, 200)
}
