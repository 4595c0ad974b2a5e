package client

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/api"
)

var bucket = cluster.Native("photos")

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func connect(t *testing.T, endpoints ...string) *Client {
	t.Helper()
	c, err := New(Options{Endpoints: endpoints, AccessKey: "AKID", SecretKey: "secret", Patience: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := api.NewError(err)
	text, _ := json.Marshal(e)
	if r.Method == http.MethodHead {
		w.Header().Set(api.HeaderError, string(text))
	}
	w.WriteHeader(e.Status)
	w.Write(text)
}

// TestSignature is the example "GET Object" of the S3 documentation.
func TestSignature(t *testing.T) {
	s := &Signer{AccessKey: "AKIAIOSFODNN7EXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1"}
	at := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	got := s.Sign("GET", "examplebucket.s3.amazonaws.com", "/test.txt", "", at, EmptyPayload, Header{"range", "bytes=0-9"})
	want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " +
		"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	list := s.Sign("GET", "examplebucket.s3.amazonaws.com", "/", Query(url.Values{"max-keys": {"2"}, "prefix": {"J"}}), at, EmptyPayload)
	if !strings.HasSuffix(list, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7") {
		t.Errorf("list: %s", list)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for _, kind := range cluster.Kinds() {
		if kind == cluster.KindOther || kind == cluster.KindUnavailable || kind == cluster.KindNotModified {
			continue
		}
		endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
			refuse(w, r, cluster.Fail("op", bucket.Object("k"), kind, "detail"))
		})
		c := connect(t, endpoint)
		_, err := c.HeadObject(context.Background(), bucket, "k")
		if !cluster.Is(err, kind) || !strings.Contains(err.Error(), "ais://photos/k") {
			t.Errorf("HEAD of kind %s: %v", kind, err)
		}
		if err := c.DeleteObject(context.Background(), bucket, "k"); !cluster.Is(err, kind) {
			t.Errorf("DELETE of kind %s: %v", kind, err)
		}
	}
}

func TestRetryWhereToldTo(t *testing.T) {
	var calls atomic.Int32
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if calls.Add(1) < 3 {
			refuse(w, r, cluster.Fail("op", "", cluster.KindUnavailable, ""))
			return
		}
		if string(text) != "bytes" {
			t.Errorf("the body came as %q", text)
		}
	}))
	if _, err := c.PutObject(context.Background(), bucket, "k", strings.NewReader("bytes"), 5); err != nil || calls.Load() != 3 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	calls.Store(0)
	_, err := c.PutObject(context.Background(), bucket, "k", io.MultiReader(strings.NewReader("bytes")), -1)
	if !cluster.Is(err, cluster.KindUnavailable) || calls.Load() != 1 {
		t.Errorf("a body that is gone was sent %d times: %v", calls.Load(), err)
	}
}

func TestNextEndpoint(t *testing.T) {
	alive := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `[{"name":"photos","provider":"ais"}]`)
	})
	c := connect(t, "http://127.0.0.1:1", alive)
	buckets, err := c.ListBuckets(context.Background())
	if err != nil || len(buckets) != 1 || buckets[0] != bucket || c.Endpoint() != alive {
		t.Errorf("got %v, %v by %s", buckets, err, c.Endpoint())
	}
	lonely := connect(t, "http://127.0.0.1:1")
	lonely.patience = time.Millisecond
	if _, err := lonely.ListBuckets(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot reach http://127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

func TestFollowRedirect(t *testing.T) {
	var dates [2]string
	owner := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		dates[1] = r.Header.Get("X-Amz-Date")
		if string(text) != "bytes" || r.Header.Get("Authorization") != "" || r.URL.Query().Get("x-aisle-ticket") != "t" {
			t.Errorf("the owner got %q, %q, %q", text, r.Header.Get("Authorization"), r.URL)
		}
	})
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		dates[0] = r.Header.Get("X-Amz-Date")
		http.Redirect(w, r, owner+r.URL.EscapedPath()+"?x-aisle-ticket=t", http.StatusTemporaryRedirect)
	}))
	if _, err := c.PutObject(context.Background(), bucket, "a b/../c", strings.NewReader("bytes"), 5); err != nil {
		t.Error(err)
	}
	if dates[0] == "" || dates[0] != dates[1] {
		t.Errorf("dates %q", dates)
	}
}

func TestChecksums(t *testing.T) {
	sum := md5.Sum([]byte("bytes"))
	stored := []byte("bytes")
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderChecksumType, "md5")
		w.Header().Set(api.HeaderChecksumValue, hex.EncodeToString(sum[:]))
		if r.Method == http.MethodPut {
			io.Copy(io.Discard, r.Body)
			return
		}
		w.Write(stored)
	}))
	ctx := context.Background()
	read := func() error {
		body, _, err := c.GetObject(ctx, bucket, "k", Whole())
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.ReadAll(body)
		return err
	}
	if err := read(); err != nil {
		t.Error(err)
	}
	stored = []byte("bytex")
	if err := read(); !cluster.Is(err, cluster.KindChecksum) {
		t.Errorf("wrong bytes were read: %v", err)
	}
	if _, err := c.PutObject(ctx, bucket, "k", io.MultiReader(strings.NewReader("bytes")), -1); err != nil {
		t.Error(err)
	}
	if _, err := c.PutObject(ctx, bucket, "k", io.MultiReader(strings.NewReader("bytex")), -1); !cluster.Is(err, cluster.KindChecksum) {
		t.Errorf("wrong bytes were written: %v", err)
	}
}

func TestPutSendsTheChecksumAhead(t *testing.T) {
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(api.HeaderChecksumType) != "xxhash" || len(r.Header.Get(api.HeaderChecksumValue)) != 16 ||
			!strings.Contains(r.Header.Get("Authorization"), "ais-checksum-value") {
			t.Errorf("headers %v", r.Header)
		}
	}))
	in := bytes.NewReader([]byte("skipped bytes"))
	in.Seek(8, io.SeekStart)
	if _, err := c.PutObject(context.Background(), bucket, "k", in, 5); err != nil {
		t.Error(err)
	}
}

func TestTruncatedObject(t *testing.T) {
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		w.Write([]byte("bytes"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	body, o, err := c.GetObject(context.Background(), bucket, "k", Whole())
	if err != nil || o.Size != 10 {
		t.Fatal(o, err)
	}
	if _, err := io.ReadAll(body); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a truncated object reads as %v", err)
	}
}

func TestListPages(t *testing.T) {
	var sizes []string
	c := connect(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		msg, _ := api.ParseAction(text)
		var list api.ListMsg
		if err := msg.Decode(&list); err != nil || msg.Action != api.ActionList {
			t.Errorf("%s: %v", text, err)
		}
		sizes = append(sizes, string(list.PageSize))
		var page api.ListResult
		for i := range 3 {
			page.Entries = append(page.Entries, api.ListEntry{Name: fmt.Sprintf("%s%d", list.Token, i)})
		}
		if len(list.Token) < 3 {
			page.Token = list.Token + "x"
		}
		w.Header().Set("Content-Type", api.MsgPack)
		w.Write(page.AppendMsgPack(nil))
	}))
	collect := func(limit int) (names []string) {
		for e, err := range c.List(context.Background(), bucket, api.ListMsg{}, limit) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, e.Name)
		}
		return names
	}
	if got := strings.Join(collect(0), " "); got != "0 1 2 x0 x1 x2 xx0 xx1 xx2 xxx0 xxx1 xxx2" {
		t.Errorf("got %s", got)
	}
	sizes = nil
	if got := strings.Join(collect(4), " "); got != "0 1 2 x0" || strings.Join(sizes, " ") != "4 1" {
		t.Errorf("got %s with pages of %v", got, sizes)
	}
}

func TestBearer(t *testing.T) {
	endpoint := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" || r.Header.Get("X-Amz-Date") != "" {
			t.Errorf("headers %v", r.Header)
		}
	})
	c, err := New(Options{Endpoints: []string{endpoint}, Token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CreateBucket(context.Background(), bucket, nil); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{}, {Endpoints: []string{"h:1"}, Token: "t"}, {Endpoints: []string{"http://h:1/s3"}, Token: "t"}, {Endpoints: []string{"http://h:1"}}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
