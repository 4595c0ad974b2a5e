package intra

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/httpd"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// node returns the tickets of one node whose clock shows epoch plus *skew.
func node(self, key string, skew *time.Duration) *Tickets {
	return NewTickets(TicketOptions{Key: []byte(key), Self: self, Now: func() time.Time {
		if skew == nil {
			return epoch
		}
		return epoch.Add(*skew)
	}})
}

func sample(write bool) Grant {
	return Grant{
		Request: "REQ1", Identity: "AKID", Root: true, Dialect: Native, Operation: "PutObject",
		Bucket:   cluster.Bucket{Provider: cluster.AIS, Namespace: "@u#ns", Name: "bucket"},
		BucketID: 7, Key: "k/../\x00\xc3\xa4", Slot: 16383, Owner: "t1", Epoch: 1 << 40, MapVersion: 9, Gateway: "p1", Write: write,
		Payload: Payload{Mode: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SHA256: "ab", Length: -1, Seed: "cd", Scope: "d/r/s3/aws4_request", Date: "20260101T000000Z"},
	}
}

// request returns the request that sample grants.
func request(mutate func(r *httpd.Request)) *httpd.Request {
	r := httpd.NewRequest("PUT", "/bucket/k%2F?partNumber=1&uploadId=u", strings.NewReader("abc"), 3,
		"Host", "gateway:80", "X-Amz-Date", "20260101T000000Z", "x-amz-meta-a", "1", "x-amz-meta-a", "2", "If-Match", `"e"`,
		"Content-Type", "text/plain", "Authorization", "old", "User-Agent", "curl/8")
	if mutate != nil {
		mutate(r)
	}
	return r
}

func TestTicketInHeader(t *testing.T) {
	gateway, owner := node("p1", "secret", nil), node("t1", "secret", nil)
	want := sample(true)
	ticket := gateway.Seal(&want, request(nil))
	got, err := owner.Open(request(func(r *httpd.Request) { r.Header.Add(HeaderTicket, ticket) }))
	if err != nil {
		t.Fatal(err)
	}
	if !got.Expires.Equal(want.Expires) {
		t.Fatal(got.Expires)
	}
	got.Expires = want.Expires
	if !reflect.DeepEqual(*got, want) {
		t.Fatalf("got %+v\nwant %+v", *got, want)
	}
}

func TestTicketInQuery(t *testing.T) {
	gateway, owner := node("p1", "secret", nil), node("t1", "secret", nil)
	for _, target := range []string{"/b/k%2e?a=1&b", "/b/k", "/b/k?"} {
		g := sample(false)
		original := httpd.NewRequest("GET", target, nil, 0, "Range", "bytes=0-1", "X-Amz-Security-Token", "dropped by some")
		url := Redirect("http://owner:8080/", gateway.Seal(&g, original), original)
		followed := httpd.NewRequest("GET", strings.TrimPrefix(url, "http://owner:8080"), nil, 0, "Range", "bytes=0-1", "User-Agent", "other")
		if !Present(followed) || Present(original) {
			t.Fatal("Present is wrong")
		}
		if _, err := owner.Open(followed); err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if followed.Target() != strings.TrimSuffix(target, "?") || followed.ID != "REQ1" || Present(followed) {
			t.Fatalf("%s: after Open it is %s, id %s", url, followed.Target(), followed.ID)
		}
	}
}

// TestTicketCoverage changes one thing of a request after another: each must be refused, or be named here as not covered.
func TestTicketCoverage(t *testing.T) {
	gateway, owner := node("p1", "secret", nil), node("t1", "secret", nil)
	f := func(name string, ok bool, mutate func(r *httpd.Request)) {
		t.Helper()
		g := sample(true)
		ticket := gateway.Seal(&g, request(nil))
		_, err := owner.Open(request(func(r *httpd.Request) {
			r.Header.Add(HeaderTicket, ticket)
			mutate(r)
		}))
		if ok && err != nil || !ok && !cluster.Is(err, cluster.KindDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	set := func(name, value string) func(*httpd.Request) {
		return func(r *httpd.Request) { r.Header.Set(name, value) }
	}
	f("nothing", true, func(*httpd.Request) {})
	f("host", true, func(r *httpd.Request) { r.Host = "other"; r.Header.Set("Host", "other") })
	f("user agent", true, set("User-Agent", "x"))
	f("authorization dropped", true, func(r *httpd.Request) { r.Header.Del("Authorization") })
	f("security token", true, set("X-Amz-Security-Token", "x"))
	f("order of fields of different names", true, func(r *httpd.Request) {
		r.Header.Del("If-Match")
		r.Header.Add("if-match", `"e"`)
	})

	f("method", false, func(r *httpd.Request) { r.Method = "POST" })
	f("path", false, func(r *httpd.Request) { r.Path = "/bucket/k/" })
	f("path decoded", false, func(r *httpd.Request) { r.Path = "/bucket/k/" })
	f("query value", false, func(r *httpd.Request) { r.Query = "partNumber=2&uploadId=u" })
	f("query dropped", false, func(r *httpd.Request) { r.Query = "" })
	f("query added", false, func(r *httpd.Request) { r.Query += "&acl" })
	f("query reordered", false, func(r *httpd.Request) { r.Query = "uploadId=u&partNumber=1" })
	f("length", false, func(r *httpd.Request) { r.Length = 4 })
	f("length unknown", false, func(r *httpd.Request) { r.Length = -1 })
	f("x-amz changed", false, set("X-Amz-Date", "20260101T000001Z"))
	f("x-amz added", false, set("X-Amz-Acl", "public-read"))
	f("x-amz dropped", false, func(r *httpd.Request) { r.Header.Del("x-amz-date") })
	f("x-amz one of two dropped", false, set("x-amz-meta-a", "1"))
	f("x-amz copy source", false, set("x-amz-copy-source", "/other/key"))
	f("ais added", false, set("Ais-Checksum-Type", "md5"))
	f("range added", false, set("Range", "bytes=0-1"))
	f("if-match changed", false, set("If-Match", "*"))
	f("if-none-match added", false, set("If-None-Match", "*"))
	f("if-modified-since added", false, set("If-Modified-Since", "x"))
	f("if-unmodified-since added", false, set("If-Unmodified-Since", "x"))
	f("content-md5 added", false, set("Content-MD5", "x"))
	f("content-type changed", false, set("Content-Type", "x"))
	f("cache-control added", false, set("Cache-Control", "x"))
	f("content-encoding added", false, set("Content-Encoding", "gzip"))
	f("second ticket", false, func(r *httpd.Request) { r.Header.Add(HeaderTicket, r.Header.Get(HeaderTicket)) })
	f("second ticket in query", false, func(r *httpd.Request) { r.Query += "&" + QueryTicket + "=" + r.Header.Get(HeaderTicket) })
	f("no ticket", false, func(r *httpd.Request) { r.Header.Del(HeaderTicket) })
}

func TestTicketRefused(t *testing.T) {
	skew := new(time.Duration)
	gateway, owner := node("p1", "secret", nil), node("t1", "secret", skew)
	open := func(ticket string, at time.Duration) error {
		*skew = at
		_, err := owner.Open(request(func(r *httpd.Request) { r.Header.Add(HeaderTicket, ticket) }))
		return err
	}
	seal := func(by *Tickets, mutate func(g *Grant)) string {
		g := sample(true)
		if mutate != nil {
			mutate(&g)
		}
		return by.Seal(&g, request(nil))
	}
	f := func(name, ticket string, at time.Duration, kind cluster.Kind) {
		t.Helper()
		if err := open(ticket, at); kind == 0 && err != nil || kind != 0 && !cluster.Is(err, kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	denied := cluster.KindDenied
	f("in time", seal(gateway, nil), 0, 0)
	f("late, within the skew", seal(gateway, nil), 16*time.Minute-time.Second, 0)
	f("too late", seal(gateway, nil), 16*time.Minute+time.Second, cluster.KindUnavailable)
	f("early, within the skew", seal(gateway, nil), -15*time.Minute+time.Second, 0)
	f("too early", seal(gateway, nil), -15*time.Minute-time.Second, cluster.KindUnavailable)
	f("too late, and forged", seal(node("p1", "guess", nil), nil), 17*time.Minute, denied)
	f("other key", seal(node("p1", "guess", nil), nil), 0, denied)
	f("other node", seal(gateway, func(g *Grant) { g.Owner = "t2" }), 0, denied)
	f("a read's for a write", seal(gateway, func(g *Grant) { g.Write = false }), 0, denied)
	f("empty", "", 0, denied)
	f("not base64", "%%%", 0, denied)
	f("short", "AQAA", 0, denied)
	f("long", strings.Repeat("A", 10_000), 0, denied)
	used := seal(gateway, nil)
	f("first use", used, 0, 0)
	f("second use", used, 0, denied)
	whole, err := base64.RawURLEncoding.DecodeString(seal(gateway, nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		changed := append([]byte(nil), whole...)
		changed[i] ^= 0x40
		f("one bit changed", base64.RawURLEncoding.EncodeToString(changed), 0, denied)
	}
	f("cut", base64.RawURLEncoding.EncodeToString(whole[:len(whole)-1]), 0, denied)
	f("whole", base64.RawURLEncoding.EncodeToString(whole), 0, 0)
}

// TestTicketOfRedirect: what a client was given does not last as long as what a node sends.
func TestTicketOfRedirect(t *testing.T) {
	skew := new(time.Duration)
	gateway, owner := node("p1", "secret", nil), node("t1", "secret", skew)
	for at, ok := range map[time.Duration]bool{119 * time.Second: true, 121 * time.Second: false, -59 * time.Second: true, -61 * time.Second: false} {
		*skew = at
		g := sample(false)
		ticket := gateway.Seal(&g, httpd.NewRequest("GET", "/bucket/k", nil, 0))
		r := httpd.NewRequest("GET", "/bucket/k", nil, 0)
		r.HasQuery, r.Query = true, QueryTicket+"="+ticket
		if _, err := owner.OpenRedirected(r); (err == nil) != ok {
			t.Errorf("after %v: %v", at, err)
		}
	}
}

func TestUsedTickets(t *testing.T) {
	u := usedTickets{windows: make(map[uint64]*window)}
	keep := epoch.Add(time.Minute)
	f := func(instance, sequence uint64, kind cluster.Kind) {
		t.Helper()
		if err := u.use(instance, sequence, epoch, keep); kind == 0 && err != nil || kind != 0 && !cluster.Is(err, kind) {
			t.Fatalf("%d/%d: %v", instance, sequence, err)
		}
	}
	f(1, 5, 0)
	f(1, 5, cluster.KindDenied)
	f(1, 3, 0)
	f(1, 4, 0)
	f(1, 3, cluster.KindDenied)
	f(2, 5, 0) // another process
	f(1, windowSize, 0)
	f(1, 5, cluster.KindDenied) // still remembered
	f(1, windowSize+5, 0)       // takes the place of 5
	f(1, 5, cluster.KindUnavailable)
	f(1, 6, 0) // never used, and just within the window
	f(1, 6, cluster.KindDenied)
	f(1, 10*windowSize, 0) // everything before is forgotten
	f(1, 9*windowSize, cluster.KindUnavailable)
	f(1, 9*windowSize+1, 0)
	u.forget(keep)
	if len(u.windows) != 2 {
		t.Fatal("forgotten too early")
	}
	u.forget(keep.Add(1))
	if len(u.windows) != 0 {
		t.Fatal("not forgotten")
	}
	// What was forgotten must not be used again, also when the wall clock is set back.
	f(2, 5, cluster.KindUnavailable)
	keep = keep.Add(1)
	f(2, 6, 0)
	keep = keep.Add(-1)
	f(2, 4, cluster.KindUnavailable) // nor when the process has sent newer ones
}

// TestWallClockSetBack: the clocks of all nodes are set ahead and back again. Nothing can be used twice, and what is new is taken.
func TestWallClockSetBack(t *testing.T) {
	skew := new(time.Duration)
	owner := node("t1", "secret", skew)
	var gateways []*Tickets
	for range keptWindows + 1 {
		gateways = append(gateways, node("p1", "secret", skew))
	}
	send := func(ticket string) error {
		_, err := owner.Open(request(func(r *httpd.Request) { r.Header.Add(HeaderTicket, ticket) }))
		return err
	}
	seal := func(by *Tickets) string {
		g := sample(true)
		return by.Seal(&g, request(nil))
	}
	once := func(ticket string) string {
		t.Helper()
		if err := send(ticket); err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first, unsent := once(seal(gateways[0])), seal(gateways[0])
	*skew = time.Hour
	for _, g := range gateways[1:] {
		once(seal(g))
	}
	*skew = time.Second
	once(seal(gateways[0]))
	for _, old := range []string{first, unsent} { // that one of the two was not used is forgotten
		if err := send(old); !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("it was forgotten whether a ticket was used: %v", err)
		}
	}
	for _, g := range gateways {
		once(seal(g))
	}
}

func FuzzOpen(f *testing.F) {
	tickets := node("t1", "secret", nil)
	g := sample(true)
	f.Add(tickets.Seal(&g, request(nil)), "a=1")
	f.Add("", "x-aisle-ticket=AQ&x-aisle-ticket")
	f.Fuzz(func(t *testing.T, ticket, query string) {
		r := request(func(r *httpd.Request) {
			r.Header.Add(HeaderTicket, ticket)
			r.Query = query
		})
		if g, err := tickets.Open(r); err == nil && (g.Request != "REQ1" || g.Owner != "t1") {
			t.Fatalf("a ticket that nobody sealed was opened: %+v", g)
		}
		if Present(r) {
			t.Fatal("a ticket is left")
		}
	})
}

// FuzzGrant feeds any bytes to the decoders: they must fail or give back what encodes to the same value.
func FuzzMessages(f *testing.F) {
	g := sample(true)
	b, _ := g.MarshalMsg(nil)
	f.Add(b)
	list := &ListReply{MapVersion: 3, Entries: []cluster.Entry{{Key: "k", Size: 1, Modified: epoch}}, More: true}
	b, _ = list.MarshalMsg(nil)
	f.Add(b)
	f.Add([]byte{0x81, 0xa1, 'e', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		grant := new(Grant)
		if _, err := grant.UnmarshalMsg(b); err == nil {
			again, err := grant.MarshalMsg(nil)
			if err != nil {
				t.Fatal(err)
			}
			second := new(Grant)
			if _, err := second.UnmarshalMsg(again); err != nil || !reflect.DeepEqual(grant, second) {
				t.Fatalf("%+v became %+v: %v", grant, second, err)
			}
		}
		_, _ = new(ListRequest).UnmarshalMsg(b)
		_, _ = new(ListReply).UnmarshalMsg(b)
		_, _ = new(DeleteRequest).UnmarshalMsg(b)
		_, _ = new(DeleteReply).UnmarshalMsg(b)
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	gateway, owner := node("p1", "secret", nil), node("t1", "secret", nil)
	b.ReportAllocs()
	for b.Loop() {
		g := sample(true)
		r := request(nil)
		r.Header.Add(HeaderTicket, gateway.Seal(&g, r))
		if _, err := owner.Open(r); err != nil {
			b.Fatal(err)
		}
	}
}
