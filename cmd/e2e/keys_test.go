//go:build e2e

package e2e

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// strangeKeys are keys that file systems, proxies and URL libraries like to bend.
var strangeKeys = []string{
	"a", "a/b", "a/b/", "a//b", "a/", "/lead", "//", ".", "..", "../up", "x/../y", "x/./y", "dir/", "with space", "a+b", "%41", "100%", "%2F", "?q=1",
	"#part", "a&b=c", "back\\slash", "quote\"'", "<xml>&amp;", "line\nbreak", "tab\tbell\a", "\x01\x1f\x7f", "ünïcödé", "日本語", "🗝", "\ufffd", "e\u0301",
	"~tilde", "-", "v1", "s3", strings.Repeat("k", 1024), strings.Repeat("é", 512), "trailing.", "COM1", "a:b", "*", "|", ";", ",", "(x)", "[y]", "{z}", "$", "@", "!",
}

// TestStrangeKeys stores an object under each of them, reads it through every node, under / and /s3, and lists them in the
// order of their bytes.
func TestStrangeKeys(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{})
	cl := newClient(c)
	cl.must(t, request{method: http.MethodPut, endpoint: c.Nodes[0].Endpoint, bucket: "strange"}, 200)
	for i, key := range strangeKeys {
		prefix := []string{"", "/s3"}[i%2]
		cl.must(t, request{method: http.MethodPut, endpoint: c.Nodes[i%3].Endpoint + prefix, bucket: "strange", key: key, body: []byte("at " + key)}, 200)
	}
	for i, key := range strangeKeys {
		for j, n := range c.Nodes {
			prefix := []string{"/s3", ""}[(i+j)%2]
			rep := cl.must(t, request{method: http.MethodGet, endpoint: n.Endpoint + prefix, bucket: "strange", key: key}, 200)
			if string(rep.body) != "at "+key {
				t.Errorf("%q through node %d holds %.80q", key, j, rep.body)
			}
		}
	}
	want := slices.Sorted(slices.Values(strangeKeys))
	for _, size := range []int{1000, 7, 1} {
		if got := listAll(t, cl, c, size); !slices.Equal(got, want) {
			t.Errorf("lists in pages of %d give\n%q\nwant\n%q", size, got, want)
		}
	}
	for i, key := range strangeKeys {
		cl.must(t, request{method: http.MethodDelete, endpoint: c.Nodes[i%3].Endpoint, bucket: "strange", key: key}, 204)
	}
	cl.must(t, request{method: http.MethodDelete, endpoint: c.Nodes[1].Endpoint, bucket: "strange"}, 204)
}

// listAll lists the whole bucket in pages of a size, each through another node.
func listAll(t *testing.T, cl *client, c *testcluster.Cluster, size int) []string {
	t.Helper()
	var keys []string
	token := ""
	for page := 0; ; page++ {
		parameters := []string{"list-type", "2", "encoding-type", "url", "max-keys", fmt.Sprint(size)}
		if token != "" {
			parameters = append([]string{"continuation-token", token}, parameters...)
		}
		rep := cl.must(t, request{method: http.MethodGet, endpoint: c.Nodes[page%3].Endpoint, bucket: "strange", query: query(parameters...)}, 200)
		var list struct {
			Contents []struct {
				Key string
			}
			NextContinuationToken string
		}
		if err := xml.Unmarshal(rep.body, &list); err != nil {
			t.Fatalf("%v in %s", err, rep)
		}
		for _, o := range list.Contents {
			key, err := url.QueryUnescape(o.Key)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if token = list.NextContinuationToken; token == "" || page > 2*len(strangeKeys) {
			return keys
		}
	}
}
