//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cmd/internal/testcluster"
)

// storedVersion is a version of a key as a test made it.
type storedVersion struct {
	id     string
	marker bool
	body   []byte
	etag   string
	tag    string // the value of its only tag; "": it has none
	hold   bool
}

// convertedBucket is a bucket with versions whose layout is changed, and what must be in it.
type convertedBucket struct {
	t       *testing.T
	c       *testcluster.Cluster
	cl      *client
	name    string
	keys    map[string][]storedVersion // the newest first
	uploads map[string]*startedUpload  // in progress, by key
}

type startedUpload struct {
	id    string
	parts []string // XML
	body  []byte
}

func (b *convertedBucket) endpoint(i int) string { return b.c.Nodes[i%len(b.c.Nodes)].Endpoint }

func (b *convertedBucket) put(i int, key string, body []byte, header map[string]string) *storedVersion {
	b.t.Helper()
	rep := b.cl.must(b.t, request{method: http.MethodPut, endpoint: b.endpoint(i), bucket: b.name, key: key, body: body, header: header}, 200)
	id := rep.header.Get("X-Amz-Version-Id")
	if id == "" {
		id = "null"
	}
	b.keys[key] = slices.Insert(b.keys[key], 0, storedVersion{id: id, body: body, etag: rep.header.Get("ETag")})
	return &b.keys[key][0]
}

func (b *convertedBucket) mark(i int, key string) {
	b.t.Helper()
	rep := b.cl.must(b.t, request{method: http.MethodDelete, endpoint: b.endpoint(i), bucket: b.name, key: key}, 204)
	b.keys[key] = slices.Insert(b.keys[key], 0, storedVersion{id: rep.header.Get("X-Amz-Version-Id"), marker: true})
}

func (b *convertedBucket) remove(i int, key string, at int) {
	b.t.Helper()
	b.cl.must(b.t, request{method: http.MethodDelete, endpoint: b.endpoint(i), bucket: b.name, key: key, query: query("versionId", b.keys[key][at].id)}, 204)
	b.keys[key] = slices.Delete(b.keys[key], at, at+1)
}

func (b *convertedBucket) begin(key string) {
	b.t.Helper()
	b.uploads[key] = &startedUpload{id: uploadID(b.t, b.cl, b.c, b.name, key)}
}

// part adds a part to an upload.
func (b *convertedBucket) part(i int, key string, body []byte) {
	b.t.Helper()
	u := b.uploads[key]
	n := len(u.parts) + 1
	rep := b.cl.must(b.t, request{
		method: http.MethodPut, endpoint: b.endpoint(i), bucket: b.name, key: key, query: query("partNumber", fmt.Sprint(n), "uploadId", u.id), body: body,
	}, 200)
	u.parts = append(u.parts, fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, rep.header.Get("ETag")))
	u.body = append(u.body, body...)
}

func (b *convertedBucket) complete(i int, key string) {
	b.t.Helper()
	u := b.uploads[key]
	b.cl.must(b.t, request{
		method: http.MethodPost, endpoint: b.endpoint(i), bucket: b.name, key: key, query: query("uploadId", u.id),
		body: []byte("<CompleteMultipartUpload>" + strings.Join(u.parts, "") + "</CompleteMultipartUpload>"),
	}, 200)
	rep := b.cl.must(b.t, request{method: http.MethodHead, endpoint: b.endpoint(i), bucket: b.name, key: key}, 200)
	b.keys[key] = slices.Insert(b.keys[key], 0, storedVersion{id: rep.header.Get("X-Amz-Version-Id"), body: u.body, etag: rep.header.Get("ETag")})
	delete(b.uploads, key)
}

// listed returns all versions of the keys with a prefix, as a node lists them page by page.
func (b *convertedBucket) listed(i int, prefix string) map[string][]string {
	b.t.Helper()
	type item struct {
		XMLName   xml.Name
		Key       string
		VersionID string `xml:"VersionId"`
		IsLatest  bool
		ETag      string
		Size      int64
	}
	got := make(map[string][]string)
	marker, version := "", ""
	for {
		rep := b.cl.must(b.t, request{
			endpoint: b.endpoint(i), bucket: b.name, query: "versions&" + query("max-keys", "5", "prefix", prefix, "key-marker", marker, "version-id-marker", version),
		}, 200)
		var page struct {
			Items       []item `xml:",any"`
			IsTruncated bool
			NextKey     string `xml:"NextKeyMarker"`
			NextVersion string `xml:"NextVersionIdMarker"`
		}
		if err := xml.Unmarshal(rep.body, &page); err != nil {
			b.t.Fatal(err)
		}
		for _, v := range page.Items {
			if v.XMLName.Local == "Version" || v.XMLName.Local == "DeleteMarker" {
				got[v.Key] = append(got[v.Key], fmt.Sprint(v.VersionID, " ", v.IsLatest, " ", v.XMLName.Local == "DeleteMarker", " ", v.Size, " ", v.ETag))
			}
		}
		if !page.IsTruncated {
			return got
		}
		marker, version = page.NextKey, page.NextVersion
	}
}

// check reads everything through every node.
func (b *convertedBucket) check(when string) {
	b.t.Helper()
	want := make(map[string][]string)
	for key, versions := range b.keys {
		for i, v := range versions {
			want[key] = append(want[key], fmt.Sprint(v.id, " ", i == 0, " ", v.marker, " ", len(v.body), " ", v.etag))
		}
	}
	for i := range b.c.Nodes {
		got := b.listed(i, "static/")
		for key := range want {
			if !slices.Equal(got[key], want[key]) {
				b.t.Errorf("%s: node %d lists %s as\n%s\nwant\n%s", when, i, key, strings.Join(got[key], "\n"), strings.Join(want[key], "\n"))
			}
			delete(got, key)
		}
		if len(got) > 0 {
			b.t.Errorf("%s: node %d lists %v besides", when, i, got)
		}
		rep := b.cl.must(b.t, request{endpoint: b.endpoint(i), bucket: b.name, query: "uploads&" + query("max-uploads", "1000")}, 200)
		if n := strings.Count(string(rep.body), "<Upload>"); n != len(b.uploads) {
			b.t.Errorf("%s: node %d lists %d uploads, want %d", when, i, n, len(b.uploads))
		}
		for key, u := range b.uploads {
			rep := b.cl.must(b.t, request{endpoint: b.endpoint(i), bucket: b.name, key: key, query: query("uploadId", u.id)}, 200)
			if n := strings.Count(string(rep.body), "<Part>"); n != len(u.parts) || !strings.Contains(string(rep.body), u.id) {
				b.t.Errorf("%s: node %d lists %d parts of %s, want %d", when, i, n, key, len(u.parts))
			}
		}
	}
	for key, versions := range b.keys {
		for i, v := range versions {
			b.read(when, i, key, v)
		}
		if len(versions) > 0 && !versions[0].marker {
			rep := b.cl.must(b.t, request{endpoint: b.endpoint(len(key)), bucket: b.name, key: key}, 200)
			if !bytes.Equal(rep.body, versions[0].body) {
				b.t.Errorf("%s: %s has %d bytes, want %d", when, key, len(rep.body), len(versions[0].body))
			}
		}
	}
}

// read reads one version by its id.
func (b *convertedBucket) read(when string, i int, key string, v storedVersion) {
	b.t.Helper()
	q := query("versionId", v.id)
	if v.marker {
		b.cl.must(b.t, request{endpoint: b.endpoint(i), bucket: b.name, key: key, query: q}, 405)
		return
	}
	rep := b.cl.must(b.t, request{endpoint: b.endpoint(i), bucket: b.name, key: key, query: q}, 200)
	hold := rep.header.Get("X-Amz-Object-Lock-Legal-Hold") == "ON"
	if !bytes.Equal(rep.body, v.body) || rep.header.Get("ETag") != v.etag || hold != v.hold || (v.tag != "") != (rep.header.Get("X-Amz-Tagging-Count") == "1") {
		b.t.Errorf("%s: version %s of %s has %d bytes, want %d; %v", when, v.id, key, len(rep.body), len(v.body), rep.header)
	}
	if v.tag != "" {
		if rep := b.cl.must(b.t, request{endpoint: b.endpoint(i), bucket: b.name, key: key, query: "tagging&" + q}, 200); !strings.Contains(string(rep.body), v.tag) {
			b.t.Errorf("%s: version %s of %s has tags %s", when, v.id, key, rep.body)
		}
	}
	if v.hold {
		b.cl.must(b.t, request{method: http.MethodDelete, endpoint: b.endpoint(i), bucket: b.name, key: key, query: q}, 403)
	}
}

// versionLoad makes, reads and removes versions of one key until its context ends. A request whose outcome is not known is sent
// no more than once, so a version that nobody knows of may be there; one that was acknowledged must be, until it is removed.
type versionLoad struct {
	key  string
	made map[string][]byte // that must be there
	gone map[string]bool
	done int
}

func (l *versionLoad) run(ctx context.Context, b *convertedBucket, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	for ctx.Err() == nil {
		endpoint := b.endpoint(r.IntN(3))
		if len(l.made) < 6 || r.IntN(3) > 0 && len(l.made) < 30 {
			body := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(100_000))
			rep, err := b.cl.do(ctx, request{method: http.MethodPut, endpoint: endpoint, bucket: b.name, key: l.key, body: body})
			if err == nil && rep.status == 200 {
				l.made[rep.header.Get("X-Amz-Version-Id")] = body
				l.done++
			} else if err == nil && rep.status != 503 {
				b.t.Errorf("put %s: %s", l.key, rep)
			}
			continue
		}
		for id, body := range l.made {
			if r.IntN(2) == 0 {
				l.readOne(ctx, b, endpoint, id, body)
			} else if rep, err := b.cl.do(ctx, request{method: http.MethodDelete, endpoint: endpoint, bucket: b.name, key: l.key, query: query("versionId", id)}); err == nil && rep.status == 204 {
				l.gone[id] = true
				delete(l.made, id)
				l.done++
			} else {
				delete(l.made, id) // it may be gone
			}
			break
		}
	}
}

func (l *versionLoad) readOne(ctx context.Context, b *convertedBucket, endpoint, id string, body []byte) {
	rep, err := b.cl.do(ctx, request{endpoint: endpoint, bucket: b.name, key: l.key, query: query("versionId", id)})
	switch {
	case err != nil || rep.status == 503:
	case rep.status != 200 || !bytes.Equal(rep.body, body):
		b.t.Errorf("version %s of %s: %s", id, l.key, rep)
	default:
		l.done++
	}
}

// verify compares what is listed and read at last.
func (l *versionLoad) verify(b *convertedBucket) {
	listed := make(map[string]bool)
	for _, line := range b.listed(0, l.key)[l.key] {
		id, _, _ := strings.Cut(line, " ")
		if listed[id] || l.gone[id] {
			b.t.Errorf("%s lists version %s, which is there twice or was removed", l.key, id)
		}
		listed[id] = true
	}
	for id, body := range l.made {
		if !listed[id] {
			b.t.Errorf("%s does not list version %s", l.key, id)
		}
		rep := b.cl.must(b.t, request{endpoint: b.endpoint(1), bucket: b.name, key: l.key, query: query("versionId", id)}, 200)
		if !bytes.Equal(rep.body, body) {
			b.t.Errorf("version %s of %s has other bytes", id, l.key)
		}
	}
	if l.done == 0 {
		b.t.Errorf("nothing was done with %s", l.key)
	}
}

// TestConvertVersions changes the layout of a bucket with versions, locks and uploads in progress, again and again, while it is used.
func TestConvertVersions(t *testing.T) {
	t.Parallel()
	c := testcluster.Start(t, testcluster.Options{Env: oneCopy()})
	b := &convertedBucket{t: t, c: c, cl: newClient(c), name: "convert-versions", keys: make(map[string][]storedVersion), uploads: make(map[string]*startedUpload)}
	must := func(r request, status int) {
		t.Helper()
		r.bucket, r.endpoint = b.name, c.Nodes[0].Endpoint
		b.cl.must(t, r, status)
	}
	must(request{method: http.MethodPut}, 200)
	key := func(i int) string { return fmt.Sprintf("static/%02d", i) }
	for i := range 4 {
		b.put(i, key(i), bytes.Repeat([]byte{byte(i)}, 1000*i), nil) // null versions
	}
	must(request{method: http.MethodPut, query: "versioning", body: []byte(`<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`)}, 200)
	must(request{method: http.MethodPut, query: "object-lock", body: []byte(`<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>`)}, 200)
	for i := range 12 {
		for n := range i % 5 {
			body := bytes.Repeat([]byte{byte(i + n)}, 10+n*n*40_000)
			v := b.put(i+n, key(i), body, nil)
			switch {
			case n == 1:
				v.tag = fmt.Sprint("of-", i)
				must(request{method: http.MethodPut, key: key(i), query: "tagging&" + query("versionId", v.id), body: []byte("<Tagging><TagSet><Tag><Key>k</Key><Value>" + v.tag + "</Value></Tag></TagSet></Tagging>")}, 200)
			case n == 2:
				v.hold = true
				must(request{method: http.MethodPut, key: key(i), query: "legal-hold&" + query("versionId", v.id), body: []byte("<LegalHold><Status>ON</Status></LegalHold>")}, 200)
			}
		}
		if i%3 == 0 {
			b.mark(i, key(i))
		}
		if i%4 == 1 {
			b.put(i, key(i), bytes.Repeat([]byte("e"), 70_000), map[string]string{"X-Amz-Server-Side-Encryption": "AES256"})
		}
	}
	big := bytes.Repeat([]byte("part"), 5<<18)
	for _, key := range []string{"static/00", "static/upload", "static/upload-over", "static/upload-aborted"} {
		b.begin(key)
		b.part(len(b.uploads), key, big)
	}
	b.put(0, "static/upload-over", []byte("an object beneath an upload"), nil)
	b.check("before")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var work sync.WaitGroup
	loads := make([]*versionLoad, 3)
	for i := range loads {
		loads[i] = &versionLoad{key: fmt.Sprintf("load/%d", i), made: make(map[string][]byte), gone: make(map[string]bool)}
		work.Go(func() { loads[i].run(ctx, b, uint64(i)) })
	}
	time.Sleep(time.Second)
	for round, layout := range []string{`{"replicas":3}`, `{"ec":"2+1"}`, `{"ec":"none","replicas":2}`} {
		setLayout(t, b.cl, b.endpoint(round), b.name, layout)
		for key := range b.uploads { // it goes on before, while and after its key is moved
			b.part(round, key, append(big, byte(round)))
		}
		b.check("while it gets " + layout)
		b.put(round, key(round), fmt.Appendf(nil, "written in round %d", round), nil)
		b.mark(round, key(round+5))
		b.remove(round, key(9), 0)
		b.put(round, fmt.Sprintf("static/new-%d", round), []byte("new"), nil)
		switch round {
		case 0:
			b.complete(round, "static/upload-over")
		case 1:
			must(request{method: http.MethodDelete, key: "static/upload-aborted", query: query("uploadId", b.uploads["static/upload-aborted"].id)}, 204)
			delete(b.uploads, "static/upload-aborted")
		}
		converted(t, b.cl, b.endpoint(round+1), b.name)
		b.check("with " + layout)
	}
	b.complete(0, "static/upload")
	b.complete(1, "static/00")
	stop()
	work.Wait()
	b.check("at last")
	done := 0
	for _, l := range loads {
		l.verify(b)
		done += l.done
	}
	t.Logf("%d requests of the load succeeded", done)
}
