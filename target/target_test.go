package target

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plane is a control plane that has applied one map and two buckets.
type plane struct {
	m       *cluster.Map
	buckets []cluster.BucketEntry
	lease   error
	configs map[cluster.BucketID]*cluster.BucketConfig // one document of each bucket
	version uint64                                     // of the buckets and documents
	day     string
}

func (p *plane) BucketConfig(id cluster.BucketID, kind string) (*cluster.BucketConfig, bool) {
	c := p.configs[id]
	return c, c != nil && c.Kind == kind
}

func (p *plane) Buckets() []cluster.BucketEntry { return p.buckets }

func (p *plane) BMDVersion() uint64 { return p.version }

func (p *plane) Setting(string) string           { return p.day }
func (p *plane) Identities() *cluster.Identities { return &cluster.Identities{} }

func (p *plane) Applied() State                                 { return p }
func (p *plane) CheckLease() error                              { return p.lease }
func (p *plane) Map() *cluster.Map                              { return p.m }
func (p *plane) Key(id cluster.AccessKeyID) (control.Key, bool) { return control.Key{ID: id}, true }

func (p *plane) EncryptionKey(name string, _ uint64) (control.EncryptionKey, error) {
	return control.EncryptionKey{}, cluster.Fail("test", name, cluster.KindNotFound, "no such key")
}

func (p *plane) AddEncryptionKey(context.Context, cluster.RequestID, string) error { return nil }
func (p *plane) Seal(plain []byte) ([]byte, error)                                 { return plain, nil }
func (p *plane) Open(sealed []byte) ([]byte, error)                                { return sealed, nil }

func (p *plane) Bucket(b cluster.Bucket) (cluster.BucketEntry, bool) {
	for _, e := range p.buckets {
		if e.Bucket == b {
			return e, true
		}
	}
	return cluster.BucketEntry{}, false
}

func (p *plane) BucketOver(id cluster.BucketID) (cluster.BucketEntry, bool) {
	for _, e := range p.buckets {
		if e.Under == id && id != 0 {
			return e, true
		}
	}
	return cluster.BucketEntry{}, false
}

func (p *plane) LastBucket() (newest uint64) {
	for _, e := range p.buckets {
		newest = max(newest, e.ID.Sequence())
	}
	return newest + 1 // one that is gone
}

func (p *plane) BucketByID(id cluster.BucketID) (cluster.BucketEntry, bool) {
	for _, e := range p.buckets {
		if e.ID == id {
			return e, true
		}
	}
	return cluster.BucketEntry{}, false
}

// pair is two targets that talk over loopback, and a gateway's tools.
type pair struct {
	t       *testing.T
	plane   *plane
	client  *httpd.Client
	tickets *intra.Tickets // of the gateway
	public  map[cluster.NodeID]string
	next    int
}

func newPair(t *testing.T) *pair {
	key := make([]byte, 32)
	rand.Read(key)
	p := &pair{t: t, plane: &plane{}, client: httpd.NewClient(httpd.ClientOptions{}), public: map[cluster.NodeID]string{}}
	t.Cleanup(p.client.Close)
	p.tickets = intra.NewTickets(intra.TicketOptions{Key: key, Self: "gw"})
	p.plane.buckets = []cluster.BucketEntry{
		{ID: 1, Bucket: cluster.Native("bucket"), Props: cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 1}},
		{ID: 2, Bucket: cluster.Native("going"), Props: cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 1}, State: cluster.BucketDeleting},
	}
	m := &cluster.Map{Version: 1, ClusterID: "c", Removed: map[cluster.NodeID]bool{}}
	m.AddLayout(cluster.OneCopy())
	ids := []cluster.NodeID{"n1", "n2"}
	listeners := map[cluster.NodeID]net.Listener{}
	for _, id := range ids {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[id] = ln
		m.SetNode(cluster.Node{ID: id, Roles: cluster.Target, Incarnation: 7, IntraAddr: ln.Addr().String(), Mountpaths: []cluster.Mountpath{
			{ID: cluster.MountpathID("mp-" + id), Path: filepath.Join(t.TempDir(), "mp"), Weight: 1},
		}})
	}
	for i := range m.Slots {
		m.Slots[i] = cluster.SlotState{Epoch: 3, Holders: []cluster.Holder{{Node: ids[i%2], InSync: true}}}
	}
	p.plane.m = m
	for _, id := range ids {
		p.start(id, key, listeners[id])
	}
	return p
}

// start opens a target and serves its two listeners.
func (p *pair) start(id cluster.NodeID, key []byte, ln net.Listener) {
	node, _ := p.plane.m.Node(id)
	path := node.Mountpaths[0].Path
	if err := os.MkdirAll(path, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := Format(vfs.Default, path, "c", id, node.Mountpaths[0].ID); err != nil {
		p.t.Fatal(err)
	}
	t, err := Open(context.Background(), Options{
		Node: node, ClusterID: "c", Control: p.plane, Peers: p.client,
		Tickets: intra.NewTickets(intra.TicketOptions{Key: key, Self: string(id)}),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := t.Close(); err != nil {
			p.t.Error(err)
		}
	})
	if err := t.Activate(context.Background(), p.plane.m); err != nil {
		p.t.Fatal(err)
	}
	p.serve(ln, httpd.Options{Handler: t.ServeNode, WriteError: t.WriteNodeError})
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.public[id] = "http://" + public.Addr().String()
	p.serve(public, httpd.Options{Handler: t.ServeRedirected, WriteError: t.WriteError})
}

func (p *pair) serve(ln net.Listener, o httpd.Options) {
	s := httpd.NewServer(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	p.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			p.t.Error(err)
		}
		<-done
	})
}

// grant gives what a gateway would for a plain request about a key of the bucket.
func (p *pair) grant(operation, bucket, key string, length int64) *intra.Grant {
	p.next++
	entry, _ := p.plane.Bucket(cluster.Native(cluster.BucketName(bucket)))
	g := &intra.Grant{
		Request: cluster.RequestID(fmt.Sprintf("r%d", p.next)), Identity: "K", Root: true, Operation: operation, Gateway: "gw",
		Bucket: entry.Bucket, BucketID: entry.ID, Key: cluster.ObjectKey(key), MapVersion: 1,
		Write: operation != "GetObject" && operation != "HeadObject", Payload: intra.Payload{Mode: "UNSIGNED-PAYLOAD", Length: length},
	}
	g.Slot = cluster.SlotOf(entry.ID, g.Key)
	g.Owner, g.Epoch = p.plane.m.Owner(g.Slot)
	if g.Write {
		g.Incarnation, g.Began = 7, control.BootTime() // the clock of every node here
	}
	return g
}

// relay sends a request to its owner as a gateway does.
func (p *pair) relay(operation, method, bucket, key, body string, pairs ...string) (int, *httpd.Reply, string) {
	p.t.Helper()
	req := httpd.NewRequest(method, "/"+bucket+"/"+key, strings.NewReader(body), int64(len(body)), append([]string{"Host", "gateway"}, pairs...)...)
	g := p.grant(operation, bucket, key, req.Length)
	return p.send(g, p.tickets.Seal(g, req), req)
}

func (p *pair) send(g *intra.Grant, ticket string, req *httpd.Request) (int, *httpd.Reply, string) {
	p.t.Helper()
	node, _ := p.plane.m.Node(g.Owner)
	rep := httpd.NewReply()
	if err := p.client.Relay(context.Background(), node.IntraAddr, req, rep, httpd.Field{Name: intra.HeaderTicket, Value: ticket}); err != nil {
		p.t.Fatal(err)
	}
	status := rep.StatusCode()
	text, err := rep.ReadAll()
	if err != nil {
		p.t.Fatal(err)
	}
	return status, rep, string(text)
}

func TestRelayed(t *testing.T) {
	p := newPair(t)
	for i := range 8 {
		key, data := fmt.Sprintf("k%d", i), strings.Repeat(fmt.Sprint(i), i*40000+1)
		if status, rep, body := p.relay("PutObject", "PUT", "bucket", key, data, "x-amz-meta-n", fmt.Sprint(i)); status != 200 || rep.Header("ETag") == "" {
			t.Fatalf("PUT: %d %s", status, body)
		}
		if status, rep, body := p.relay("GetObject", "GET", "bucket", key, ""); status != 200 || body != data || rep.Header("x-amz-meta-n") != fmt.Sprint(i) {
			t.Fatalf("GET: %d, %d bytes", status, len(body))
		}
		copied := fmt.Sprintf("copy%d", i)
		if status, _, body := p.relay("CopyObject", "PUT", "bucket", copied, "", "x-amz-copy-source", "bucket/"+key); status != 200 {
			t.Fatalf("copy: %d %s", status, body)
		}
		if _, rep, body := p.relay("GetObject", "GET", "bucket", copied, ""); body != data || rep.Header("x-amz-meta-n") != fmt.Sprint(i) {
			t.Fatalf("copy of %d bytes has %d", len(data), len(body))
		}
	}
	status, rep, body := p.relay("GetObject", "GET", "bucket", "none", "")
	if status != 404 || rep.Header(intra.HeaderKind) != "object-not-found" || !strings.Contains(body, "<Code>NoSuchKey</Code>") {
		t.Fatalf("%d %s %s", status, rep.Header(intra.HeaderKind), body)
	}
	if status, _, body := p.relay("CopyObject", "PUT", "bucket", "x", "", "x-amz-copy-source", "bucket/none"); status != 404 {
		t.Fatalf("copy of nothing: %d %s", status, body)
	}
	if status, rep, _ := p.relay("PutObject", "PUT", "going", "k", "x"); status != 503 || rep.Header(intra.HeaderKind) != "unavailable" {
		t.Fatalf("write into a bucket that is being deleted: %d", status)
	}
}

func TestTickets(t *testing.T) {
	p := newPair(t)
	req := httpd.NewRequest("PUT", "/bucket/k", strings.NewReader("x"), 1, "Host", "gateway")
	g := p.grant("PutObject", "bucket", "k", 1)
	ticket := p.tickets.Seal(g, req)
	if status, _, body := p.send(g, ticket, req); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	f := func(what string, method, target, ticket string, pairs ...string) {
		t.Helper()
		status, _, body := p.send(g, ticket, httpd.NewRequest(method, target, strings.NewReader("x"), 1, append([]string{"Host", "gateway"}, pairs...)...))
		if status != 403 {
			t.Fatalf("%s: %d %s", what, status, body)
		}
	}
	f("used twice", "PUT", "/bucket/k", ticket)
	f("no ticket", "PUT", "/bucket/k", "")
	f("nonsense", "PUT", "/bucket/k", "nonsense")
	fresh := func() string { return p.tickets.Seal(p.grant("PutObject", "bucket", "k", 1), req) }
	f("another key", "PUT", "/bucket/k2", fresh())
	f("another method", "POST", "/bucket/k", fresh())
	f("another query", "PUT", "/bucket/k?tagging", fresh())
	f("another header", "PUT", "/bucket/k", fresh(), "x-amz-meta-a", "1")
	f("a node's call", "POST", intra.PathList, fresh())
}

// A write that comes from another node must say how old it is, by the clock of this process; a refusal tells the clock.
func TestClocks(t *testing.T) {
	p := newPair(t)
	req := httpd.NewRequest("PUT", "/bucket/k", strings.NewReader("x"), 1, "Host", "gateway")
	f := func(what string, want int, change func(*intra.Grant)) {
		t.Helper()
		g := p.grant("PutObject", "bucket", "k", 1)
		change(g)
		status, rep, body := p.send(g, p.tickets.Seal(g, req), req)
		if status != want {
			t.Fatalf("%s: %d %s", what, status, body)
		}
		clocks := intra.NewClocks(control.BootTime)
		clocks.Note(g.Owner, rep.Header(intra.HeaderClock))
		if !clocks.Stamp(g, 7, control.BootTime()) || control.BootTime()-g.Began > time.Minute {
			t.Fatalf("%s: the reply says %q of the clock", what, rep.Header(intra.HeaderClock))
		}
	}
	f("fresh", 200, func(*intra.Grant) {})
	f("without an age", 503, func(g *intra.Grant) { g.Incarnation = 0 })
	f("by the clock of another process", 503, func(g *intra.Grant) { g.Incarnation = 8 })
	f("older than the retry window", 503, func(g *intra.Grant) { g.Began -= time.Minute })
	f("of a redirect", 503, func(g *intra.Grant) { g.Incarnation, g.Once = 0, true })
	get := httpd.NewRequest("GET", "/bucket/k", nil, 0, "Host", "gateway")
	g := p.grant("GetObject", "bucket", "k", 0)
	status, rep, body := p.send(g, p.tickets.Seal(g, get), get)
	if status != 200 || rep.Header(intra.HeaderClock) != "" {
		t.Fatalf("a read: %d %s, and the clock %q, which nobody needs", status, body, rep.Header(intra.HeaderClock))
	}
}

func TestRedirected(t *testing.T) {
	p := newPair(t)
	put := httpd.NewRequest("PUT", "/bucket/a%20b", strings.NewReader("hello"), 5, "Content-Type", "text/x")
	g := p.grant("PutObject", "bucket", "a b", 5)
	relayed := intra.Redirect(p.public[g.Owner], p.tickets.Seal(g, put), put)
	g.Incarnation, g.Began, g.Once = 0, 0, true
	url := intra.Redirect(p.public[g.Owner], p.tickets.Seal(g, put), put)
	send := func(method, url, body string) (int, string) {
		t.Helper()
		out, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		out.Close = true
		if method == "PUT" {
			out.Header.Set("Content-Type", "text/x")
		}
		in, err := http.DefaultClient.Do(out)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Body.Close()
		text, err := io.ReadAll(in.Body)
		if err != nil {
			t.Fatal(err)
		}
		if in.Header.Get(intra.HeaderKind) != "" {
			t.Fatal("a client is told the kind")
		}
		return in.StatusCode, string(text)
	}
	if status, body := send("PUT", relayed, "hello"); status != 403 {
		t.Fatalf("the ticket of a relay, on the public listener: %d %s", status, body)
	}
	if status, body := send("PUT", url, "hello"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := send("PUT", url, "hello"); status != 403 || !strings.Contains(body, "AccessDenied") {
		t.Fatalf("%d %s", status, body)
	}
	get := httpd.NewRequest("GET", "/bucket/a%20b", nil, 0)
	g = p.grant("GetObject", "bucket", "a b", 0)
	url = intra.Redirect(p.public[g.Owner], p.tickets.Seal(g, get), get)
	for range 2 {
		if status, body := send("GET", url, ""); status != 200 || body != "hello" {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, _ := send("GET", p.public[g.Owner]+"/bucket/a%20b", ""); status != 403 {
		t.Fatalf("without a ticket: %d", status)
	}
}

func TestNodeCalls(t *testing.T) {
	p := newPair(t)
	total := 0
	for i := range 10 {
		p.relay("PutObject", "PUT", "bucket", fmt.Sprintf("k%d", i), "x")
	}
	client := &intra.Client{HTTP: p.client, Tickets: p.tickets, Self: "gw", Clocks: intra.NewClocks(control.BootTime)}
	for _, node := range p.plane.m.Nodes {
		call := intra.Call{Addr: node.IntraAddr, Owner: node.ID, Request: "L", Identity: "K", Root: true, Bucket: cluster.Native("bucket"),
			Incarnation: 7, Began: control.BootTime()}
		list, err := client.List(context.Background(), call, &intra.ListRequest{MapVersion: 1, BucketID: 1, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		total += len(list.Entries)
		batch := &intra.DeleteRequest{BucketID: 1}
		for _, e := range list.Entries {
			batch.Items = append(batch.Items, intra.DeleteItem{Key: e.Key, Request: cluster.RequestID("D" + e.Key), Epoch: 3})
		}
		reply, err := client.Delete(context.Background(), call, batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range reply.Results {
			if r.Kind != "" {
				t.Fatalf("%s: %+v", batch.Items[i].Key, r)
			}
		}
		if _, err := client.List(context.Background(), call, &intra.ListRequest{MapVersion: 2, BucketID: 1, Limit: 100}); !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("a list at another map: %v", err)
		}
	}
	if total != 10 {
		t.Fatalf("%d entries", total)
	}
}

func TestAuthority(t *testing.T) {
	p := &plane{m: &cluster.Map{Version: 1, Removed: map[cluster.NodeID]bool{}}, buckets: []cluster.BucketEntry{{ID: 1, Props: cluster.BucketProps{Versioning: cluster.VersioningSuspended}}, {ID: 2, State: cluster.BucketDeleting}}}
	p.m.AddLayout(cluster.OneCopy())
	p.m.SetNode(cluster.Node{ID: "n1", Incarnation: 7})
	p.m.Slots[0] = cluster.SlotState{Epoch: 4, Holders: []cluster.Holder{{Node: "n1", InSync: true}}}
	p.m.Slots[1] = cluster.SlotState{Epoch: 4, Holders: []cluster.Holder{{Node: "n2", InSync: true}}}
	a := &authority{node: "n1", incarnation: 7, control: p}
	if epoch, err := a.Owns(0); err != nil || epoch != 4 {
		t.Fatal(epoch, err)
	}
	for slot, incarnation := range map[cluster.Slot]cluster.Incarnation{1: 7, 2: 7, 0: 8} {
		a.incarnation = incarnation
		if _, err := a.Owns(slot); !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("slot %d: %v", slot, err)
		}
	}
	for id, want := range map[cluster.BucketID]cluster.Kind{2: cluster.KindUnavailable, 3: cluster.KindBucketNotFound, 4: cluster.KindUnavailable} {
		if _, err := a.Writable(id); !cluster.Is(err, want) {
			t.Fatalf("bucket %d: %v", id, err)
		}
	}
	if props, err := a.Writable(1); err != nil || props.Versioning != cluster.VersioningSuspended {
		t.Fatal(props, err)
	}
	p.lease = cluster.Fail("test", "", cluster.KindUnavailable, "no lease")
	if _, err := a.Writable(3); !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("without a lease nothing is certain: %v", err)
	}
}
