package front

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/s3"
	"github.com/aisle-store/aisle/target/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey, testSecret = cluster.AccessKeyID("AKTEST"), "secret"

// state is a control plane that has applied what the test says.
type state struct {
	mu      sync.Mutex
	m       *cluster.Map
	buckets []cluster.BucketEntry
	lease   error
	configs map[string]*cluster.BucketConfig // of the first bucket, by kind

	beforeWrite func() // called when a store asks whether it may write

	keys     map[string]control.EncryptionKey
	settings map[string]string
}

// EncryptionKey has one version of each key.
func (s *state) EncryptionKey(name string, number uint64) (control.EncryptionKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	if !ok || number != 0 && number != k.Number {
		return k, cluster.Fail("test", name, cluster.KindNotFound, "no such key")
	}
	return k, nil
}

func (s *state) AddEncryptionKey(_ context.Context, _ cluster.RequestID, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = make(map[string]control.EncryptionKey)
	}
	s.keys[name] = control.EncryptionKey{Name: name, Number: uint64(100 + len(s.keys)), Key: [32]byte{byte(len(s.keys) + 1)}}
	return nil
}

func (s *state) Seal(plain []byte) ([]byte, error) { return append([]byte("sealed"), plain...), nil }

func (s *state) Open(sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte("sealed"))
	if !ok {
		return nil, cluster.Fail("test", "", cluster.KindInvalid, "it is not sealed")
	}
	return bytes.Clone(plain), nil
}

func (s *state) Applied() State { return s }

func (s *state) CheckLease() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}

func (s *state) loseLease(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = err
}

func (s *state) Map() *cluster.Map { return s.m }

func (s *state) Identities() *cluster.Identities { return &cluster.Identities{} }

func (s *state) Bucket(b cluster.Bucket) (cluster.BucketEntry, bool) {
	i := slices.IndexFunc(s.buckets, func(e cluster.BucketEntry) bool { return e.Bucket == b })
	if i < 0 {
		return cluster.BucketEntry{}, false
	}
	return s.buckets[i], true
}

func (s *state) LastBucket() uint64 { return 2 }

func (s *state) BucketConfig(id cluster.BucketID, kind string) (*cluster.BucketConfig, bool) {
	c, ok := s.configs[kind]
	return c, ok && id == s.buckets[0].ID
}

func (s *state) Buckets() []cluster.BucketEntry { return s.buckets }

func (s *state) BMDVersion() uint64 { return 1 }

func (s *state) Setting(name string) string { return s.settings[name] }

func (s *state) BucketOver(cluster.BucketID) (cluster.BucketEntry, bool) {
	return cluster.BucketEntry{}, false
}

func (s *state) BucketByID(id cluster.BucketID) (cluster.BucketEntry, bool) {
	i := slices.IndexFunc(s.buckets, func(e cluster.BucketEntry) bool { return e.ID == id })
	if i < 0 {
		return cluster.BucketEntry{}, false
	}
	return s.buckets[i], true
}

func (s *state) Key(id cluster.AccessKeyID) (control.Key, bool) {
	return control.Key{ID: testKey, Secret: testSecret, Root: true}, id == testKey
}

// nodeAuthority is the store's view of the state, for one node.
type nodeAuthority struct {
	*state
	node cluster.NodeID
}

func (a nodeAuthority) Owns(s cluster.Slot) (cluster.Epoch, error) {
	owner, epoch := a.m.Owner(s)
	if owner != a.node {
		return 0, cluster.Fail("test", string(a.node), cluster.KindUnavailable, "not the owner")
	}
	return epoch, nil
}

func (a nodeAuthority) Under(cluster.BucketID) cluster.BucketID { return 0 }

func (a nodeAuthority) Writable(id cluster.BucketID) (cluster.BucketProps, error) {
	if a.beforeWrite != nil {
		a.beforeWrite()
	}
	entry, _ := a.BucketByID(id)
	return entry.Props, nil
}

// bed is a cluster of targets without a network: every node's front, over stores in a temporary directory.
type bed struct {
	t      testing.TB
	state  *state
	fronts map[cluster.NodeID]*Front
	rights intra.Rights            // of who sends requests
	grants map[string]*intra.Grant // by ticket
	next   int
}

func newBed(t testing.TB, nodes ...cluster.NodeID) *bed {
	t.Helper()
	b := &bed{t: t, state: &state{}, fronts: map[cluster.NodeID]*Front{}, grants: map[string]*intra.Grant{}, rights: intra.CarryTags}
	b.state.buckets = []cluster.BucketEntry{
		{ID: 1, Bucket: cluster.Native("bucket"), Props: cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 1}},
		{ID: 2, Bucket: cluster.Native("native"), Props: cluster.BucketProps{Checksum: cluster.ChecksumXXHash, Replicas: 1}},
	}
	m := &cluster.Map{Version: 1, ClusterID: "c", Removed: map[cluster.NodeID]bool{}}
	m.AddLayout(cluster.OneCopy())
	for i, id := range nodes {
		m.SetNode(cluster.Node{ID: id, Roles: cluster.Target, Incarnation: 1, IntraAddr: "addr-" + string(id), Mountpaths: []cluster.Mountpath{
			{ID: cluster.MountpathID(fmt.Sprintf("mp%d", i)), Path: filepath.Join(t.TempDir(), "mp"), Weight: 1},
		}})
	}
	for i := range m.Slots {
		m.Slots[i] = cluster.SlotState{Epoch: 5, Holders: []cluster.Holder{{Node: nodes[i%len(nodes)], InSync: true}}}
	}
	b.state.m = m
	for _, id := range nodes {
		b.start(id)
	}
	return b
}

func (b *bed) start(id cluster.NodeID) {
	b.t.Helper()
	node, _ := b.state.m.Node(id)
	for _, mp := range node.Mountpaths {
		if err := os.MkdirAll(mp.Path, 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := store.Format(vfs.Default, mp.Path, "c", id, mp.ID); err != nil {
			b.t.Fatal(err)
		}
	}
	o := store.Options{FS: vfs.Default, ClusterID: "c", Node: id, Incarnation: 1, Mountpaths: node.Mountpaths, Authority: nodeAuthority{b.state, id}}
	o.Disk.Ballast, o.Disk.SegmentSize, o.CacheBytes, o.Index.MemTable = -1, 16<<20, 1<<20, 1<<20
	s, err := store.Open(context.Background(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.t.Error(err)
		}
	})
	if err := s.Activate(context.Background(), b.state.m); err != nil {
		b.t.Fatal(err)
	}
	b.fronts[id] = New(Options{Node: node, Store: s, Control: b.state, Peers: b, Tickets: b, Now: time.Now})
}

// Seal implements Sealer.
func (b *bed) Seal(g *intra.Grant, _ *httpd.Request) string {
	b.next++
	ticket := fmt.Sprint(b.next)
	b.grants[ticket] = g
	return ticket
}

// Do implements Peers: it hands a read of a copy's source to the node.
func (b *bed) Do(ctx context.Context, addr string, out *httpd.OutRequest) (*httpd.InReply, error) {
	f := b.fronts[cluster.NodeID(strings.TrimPrefix(addr, "addr-"))]
	g := b.grants[out.Header.Get(intra.HeaderTicket)]
	if f == nil || g == nil || out.Target != PathRead {
		return nil, cluster.Fail("test.Do", addr, cluster.KindUnavailable, "no such node, ticket or path")
	}
	req := httpd.NewRequest(out.Method, out.Target, nil, 0)
	req.Header = out.Header
	rep := httpd.NewReply()
	if err := f.ServeRead(ctx, g, req, rep); err != nil {
		f.WriteNodeError(req, rep, err)
	}
	length := rep.Length()
	body, err := rep.ReadAll()
	if err != nil {
		return nil, err
	}
	in := &httpd.InReply{Status: rep.StatusCode(), Length: length, Body: io.NopCloser(bytes.NewReader(body))}
	for name, value := range rep.Headers() {
		in.Header.Add(name, value)
	}
	return in, nil
}

// answer is a reply as a client sees it.
type answer struct {
	status int
	rep    *httpd.Reply
	body   string
}

func (a answer) header(name string) string { return a.rep.Header(name) }

// grant gives what a gateway would for an S3 request; it fails the request as a gateway would.
func (b *bed) grant(req *httpd.Request) (*intra.Grant, error) {
	call, err := new(s3.Router).Parse(s3.Request{Method: req.Method, Path: req.Path, Query: req.Query, Host: req.Host, Header: &req.Header, Length: req.Length})
	if err != nil {
		return nil, err
	}
	b.next++
	mode := req.Header.Get("x-amz-content-sha256")
	g := &intra.Grant{
		Rights:  b.rights,
		Request: cluster.RequestID(fmt.Sprintf("r%d", b.next)), Identity: testKey, Root: true, Dialect: intra.S3, Operation: call.Op.String(),
		Bucket: cluster.Native(call.Bucket), Key: call.Key, Write: call.Op.Writes(), Payload: intra.Payload{Mode: mode, Length: req.Length},
	}
	if len(mode) == 64 {
		g.Payload.SHA256 = mode
	}
	if n := req.Header.Get("x-amz-decoded-content-length"); n != "" {
		fmt.Sscan(n, &g.Payload.Length)
	}
	b.place(g)
	return g, nil
}

// place finds the owner, as a gateway does.
func (b *bed) place(g *intra.Grant) {
	entry, _ := b.state.Bucket(g.Bucket)
	g.BucketID, g.Slot, g.MapVersion = entry.ID, cluster.SlotOf(entry.ID, g.Key), b.state.m.Version
	g.Owner, g.Epoch = b.state.m.Owner(g.Slot)
}

// do sends an S3 request to the owner of its key.
func (b *bed) do(method, target, body string, pairs ...string) answer {
	b.t.Helper()
	req := httpd.NewRequest(method, target, strings.NewReader(body), int64(len(body)), append([]string{"Host", "h"}, pairs...)...)
	g, err := b.grant(req)
	if err != nil {
		return b.failed(req, err)
	}
	return b.serve(g, req)
}

func (b *bed) failed(req *httpd.Request, err error) answer {
	for _, f := range b.fronts {
		rep := httpd.NewReply()
		f.WriteError(req, rep, err)
		return b.read(rep)
	}
	return answer{}
}

func (b *bed) serve(g *intra.Grant, req *httpd.Request) answer {
	b.t.Helper()
	f, rep := b.fronts[g.Owner], httpd.NewReply()
	req.ID = g.Request
	if err := f.ServeObject(context.Background(), g, req, rep); err != nil {
		rep.Reset()
		f.WriteError(req, rep, err)
	}
	return b.read(rep)
}

func (b *bed) read(rep *httpd.Reply) answer {
	b.t.Helper()
	body, err := rep.ReadAll()
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{rep.StatusCode(), rep, string(body)}
}

// want demands a status, and texts in the body.
func (a answer) want(t testing.TB, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Fatalf("no %q in %s", text, a.body)
		}
	}
	return a
}

// wantHeaders demands headers, given as names and values in turn.
func (a answer) wantHeaders(t testing.TB, pairs ...string) answer {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := a.header(pairs[i]); got != pairs[i+1] {
			t.Fatalf("%s: %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
	return a
}

// between returns what stands between two texts.
func between(s, begin, end string) string {
	_, s, _ = strings.Cut(s, begin)
	s, _, _ = strings.Cut(s, end)
	return s
}
