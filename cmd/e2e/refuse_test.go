//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

var (
	// Names that S3 does not know, or spelled as it does not know them.
	strangeQueries = strings.Fields(`unheard-of unheard-of=1 appendObject&position=0 Acl TAGGING policy2 %6cegal-hold legal-hold=&x=1 uploadid=1`)
	// Configurations of a bucket that can be asked for, of which there is none, and which nobody can set or remove.
	setsNothing = strings.Fields(`accelerate analytics&id=1 intelligent-tiering&id=1 inventory&id=1 metrics&id=1`)
	// OPTIONS asks for the CORS rules, whatever is behind the path.
	allMethods = []string{"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "PROPFIND"}
)

// refusedSubresources returns the sub-resources of a bucket, or of an object, that docs/s3compat.md says are refused: those tables
// are compared with the routing by a test in s3.
func refusedSubresources(t *testing.T, of string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testcluster.Root(t), "docs", "s3compat.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\nRefused with 501, by sub-resource "+of+":\n\n")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		if name := strings.Trim(strings.Split(line, "|")[1], " `"); name != "sub-resource" && !strings.HasPrefix(name, "-") {
			names = append(names, name)
		}
	}
	if !found || len(names) < 3 {
		t.Fatalf("docs/s3compat.md names %v as refused sub-resources %s", names, of)
	}
	return names
}

// TestRefused walks over everything that S3 has and Aisle has not, with every method, and shows that each is refused and
// that neither bucket nor object changes.
func TestRefused(t *testing.T) {
	c := testcluster.Start(t, testcluster.Options{})
	w := &refusal{t: t, cluster: c, client: newClient(c), bucket: "walked", key: "some/object"}
	w.must(request{method: http.MethodPut, bucket: w.bucket}, 200)
	w.must(request{
		method: http.MethodPut, bucket: w.bucket, key: w.key, body: []byte("as it was"),
		header: map[string]string{"X-Amz-Meta-Mark": "kept", "Content-Type": "text/plain"},
	}, 200)
	w.before = w.state()
	ofBucket, ofObject := refusedSubresources(t, "of a bucket"), refusedSubresources(t, "or parameter of an object")
	for _, method := range allMethods {
		for _, query := range ofBucket {
			w.refused(method, "", query, http.StatusNotImplemented, http.StatusMethodNotAllowed)
		}
		for _, query := range ofObject {
			w.refused(method, w.key, query, http.StatusNotImplemented, http.StatusMethodNotAllowed)
		}
		if method != http.MethodGet {
			w.refused(method, w.key, "attributes", http.StatusNotImplemented, http.StatusMethodNotAllowed)
		}
		if method != http.MethodGet && method != http.MethodHead {
			w.refused(method, w.key, "partNumber=1", http.StatusNotImplemented, http.StatusMethodNotAllowed)
		}
		for _, query := range setsNothing {
			if method != http.MethodGet {
				w.refused(method, "", query, http.StatusNotImplemented, http.StatusMethodNotAllowed)
			}
		}
		for _, query := range strangeQueries {
			w.strange(method, "", query)
			w.strange(method, w.key, query)
		}
	}
	w.refusedHeaders()
}

type refusal struct {
	t       *testing.T
	cluster *testcluster.Cluster
	client  *client
	bucket  string
	key     string
	before  string
	sent    int
}

func (w *refusal) must(r request, statuses ...int) reply {
	w.t.Helper()
	r.endpoint = w.endpoint()
	return w.client.must(w.t, r, statuses...)
}

func (w *refusal) endpoint() string {
	w.sent++
	return w.cluster.Nodes[w.sent%len(w.cluster.Nodes)].Endpoint
}

// state is everything that a client can see of the bucket and the object, but for dates of replies.
func (w *refusal) state() string {
	w.t.Helper()
	object := w.must(request{method: http.MethodGet, bucket: w.bucket, key: w.key}, 200)
	list := w.must(request{method: http.MethodGet, bucket: w.bucket, query: "list-type=2&fetch-owner=true"}, 200)
	uploads := w.must(request{method: http.MethodGet, bucket: w.bucket, query: "uploads"}, 200)
	var seen []string
	for name, values := range object.header {
		if !slices.Contains([]string{"Date", "X-Amz-Request-Id", "X-Amz-Id-2", "Server"}, name) {
			seen = append(seen, name+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(seen)
	return strings.Join(seen, "\n") + string(object.body) + string(list.body) + string(uploads.body)
}

func (w *refusal) send(method, key, query string, header map[string]string) reply {
	w.t.Helper()
	r := request{method: method, endpoint: w.endpoint(), bucket: w.bucket, key: key, query: query, header: header}
	if method == "PUT" || method == "POST" {
		r.body = []byte("<Wrong><Status>Enabled</Status></Wrong>")
	}
	rep, err := w.client.do(w.t.Context(), r)
	if err != nil {
		w.t.Fatalf("%s %s?%s: %v", method, key, query, err)
	}
	if method != http.MethodGet && method != http.MethodHead {
		if after := w.state(); after != w.before {
			w.t.Fatalf("%s %q?%s (%s) changed the object or the bucket from\n%s\nto\n%s", method, key, query, rep, w.before, after)
		}
	}
	return rep
}

// refused wants one of the statuses and, where the reply has a body, the S3 error to it.
func (w *refusal) refused(method, key, query string, statuses ...int) {
	w.t.Helper()
	rep := w.send(method, key, query, nil)
	if !slices.Contains(statuses, rep.status) {
		w.t.Errorf("%s %q?%s: %s, want status %v", method, key, query, rep, statuses)
		return
	}
	if want := map[int]string{501: "NotImplemented", 405: "MethodNotAllowed"}[rep.status]; method != http.MethodHead && rep.code() != want {
		w.t.Errorf("%s %q?%s: %s, want code %s", method, key, query, rep, want)
	}
}

// strange wants that a name unknown to S3 changes nothing and is not taken for the plain operation when that writes.
func (w *refusal) strange(method, key, query string) {
	w.t.Helper()
	rep := w.send(method, key, query, nil)
	if rep.status >= 500 && rep.status != http.StatusNotImplemented {
		w.t.Errorf("%s %q?%s: %s", method, key, query, rep)
	}
	if rep.status < 400 && method != http.MethodGet && method != http.MethodHead {
		w.t.Errorf("%s %q?%s: %s, want it refused", method, key, query, rep)
	}
}

// refusedHeaders: a header that asks for what is not built refuses the write, too.
func (w *refusal) refusedHeaders() {
	for name, value := range map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms:dsse",
		"X-Amz-Acl":                    "public-read",
		"X-Amz-Grant-Read":             "id=1",
		"X-Amz-Write-Offset-Bytes":     "9",
	} {
		rep := w.send(http.MethodPut, w.key, "", map[string]string{name: value})
		want := http.StatusNotImplemented
		if name == "X-Amz-Acl" || name == "X-Amz-Grant-Read" {
			want = http.StatusBadRequest // AccessControlListNotSupported
		}
		if rep.status != want {
			w.t.Errorf("PUT with %s: %s: %s, want %d", name, value, rep, want)
		}
	}
}
