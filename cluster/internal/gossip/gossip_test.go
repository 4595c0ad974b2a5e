package gossip_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/gossip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	keyA = bytes.Repeat([]byte{1}, 32)
	keyB = bytes.Repeat([]byte{2}, 32)
)

// diary remembers events.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(what string) func(gossip.Peer) {
	return func(p gossip.Peer) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, fmt.Sprintf("%s %s %s %d", what, p.ID, p.IntraAddr, p.Incarnation))
	}
}

func (d *diary) events() gossip.Events {
	return gossip.Events{Joined: d.add("joined"), Updated: d.add("updated"), Left: d.add("left")}
}

func (d *diary) has(line string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.lines, line)
}

func peer(id string, incarnation uint64) gossip.Peer {
	return gossip.Peer{ID: cluster.NodeID(id), IntraAddr: id + ":1", Incarnation: cluster.Incarnation(incarnation)}
}

func start(t *testing.T, self gossip.Peer, key []byte, e gossip.Events) *gossip.List {
	t.Helper()
	l, err := gossip.Start(gossip.Options{Self: self, Listen: "127.0.0.1:0", Key: key, Events: e})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop() })
	return l
}

func join(t *testing.T, l *gossip.List, addrs ...string) {
	t.Helper()
	if n, err := l.Join(t.Context(), addrs); err != nil || n != len(addrs) {
		t.Fatalf("joined %d, %v", n, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in a minute: %s", what)
}

// names returns the nodes that l sees, with what they say of themselves.
func names(peers []gossip.Peer) string {
	var s []string
	for _, p := range peers {
		s = append(s, fmt.Sprintf("%s/%s/%d", p.ID, p.IntraAddr, p.Incarnation))
	}
	return fmt.Sprint(s)
}

func TestNodesMeet(t *testing.T) {
	var d diary
	a := start(t, peer("a", 1), keyA, d.events())
	b := start(t, peer("b", 1<<63), keyA, gossip.Events{})
	c := start(t, peer("c", 3), keyA, gossip.Events{})
	join(t, b, a.Addr())
	join(t, c, a.Addr())
	eventually(t, "all meet", func() bool {
		return names(a.Peers()) == "[b/b:1/9223372036854775808 c/c:1/3]" && len(b.Peers()) == 2 && len(c.Peers()) == 2
	})
	if got := a.Peers()[0].GossipAddr; got != b.Addr() {
		t.Fatalf("b gossips at %s, not %s", got, b.Addr())
	}
	eventually(t, "events", func() bool { return d.has("joined b b:1 9223372036854775808") && d.has("joined c c:1 3") })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := c.Leave(ctx); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "c is gone", func() bool { return len(a.Peers()) == 1 && d.has("left c c:1 3") })
}

// TestNewAddress kills a node without a word and starts it at another address: the others take it back.
func TestNewAddress(t *testing.T) {
	t.Parallel() // it waits for the death of a node to be believed
	var d diary
	a := start(t, peer("a", 1), keyA, d.events())
	b := start(t, peer("b", 1), keyA, gossip.Events{})
	join(t, b, a.Addr())
	eventually(t, "b joins", func() bool { return len(a.Peers()) == 1 })
	old := b.Addr()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	again := peer("b", 2)
	again.IntraAddr = "b:2"
	b = start(t, again, keyA, gossip.Events{})
	if b.Addr() == old {
		t.Fatal("the address is the same")
	}
	eventually(t, "b is back", func() bool {
		join(t, b, a.Addr())
		return names(a.Peers()) == "[b/b:2/2]" && a.Peers()[0].GossipAddr == b.Addr()
	})
	eventually(t, "an event", func() bool { return d.has("joined b b:2 2") || d.has("updated b b:2 2") })
}

func TestAnotherKeyIsNotHeard(t *testing.T) {
	a := start(t, peer("a", 1), keyA, gossip.Events{})
	b := start(t, peer("b", 1), keyB, gossip.Events{})
	if n, err := b.Join(t.Context(), []string{a.Addr()}); err == nil || !cluster.Is(err, cluster.KindUnavailable) {
		t.Fatalf("joined %d, %v", n, err)
	}
	if len(a.Peers())+len(b.Peers()) != 0 {
		t.Fatal("strangers met")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	long := peer("a", 1)
	long.IntraAddr = string(bytes.Repeat([]byte{'x'}, 600))
	f := func(o gossip.Options) {
		t.Helper()
		if l, err := gossip.Start(o); !cluster.Is(err, cluster.KindInvalid) {
			t.Fatalf("got %v, %v", l, err)
		}
	}
	f(gossip.Options{Self: long, Listen: "127.0.0.1:0", Key: keyA})
	f(gossip.Options{Self: peer("a", 1), Listen: "127.0.0.1:0", Key: keyA[:16]})
	f(gossip.Options{Self: peer("a", 1), Listen: "no port", Key: keyA})
	f(gossip.Options{Self: peer("a", 1), Listen: "127.0.0.1:0", Advertise: "nowhere", Key: keyA})
}

func TestLogger(t *testing.T) {
	var out lockedBuffer
	l, err := gossip.Start(gossip.Options{
		Self: peer("a", 1), Listen: "127.0.0.1:0", Key: keyA,
		Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Join(t.Context(), []string{"127.0.0.1:1"})
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, `level=DEBUG msg="failed to join 127.0.0.1:1`) || !strings.Contains(text, "part=gossip") {
		t.Fatalf("got %s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := false
		m := gossip.NewMesh(func(from, to cluster.NodeID) bool { return !cut || from != "c" })
		var d diary
		a := m.Start(peer("a", 1), d.events())
		b := m.Start(peer("b", 1), gossip.Events{})
		c := m.Start(peer("c", 1), gossip.Events{})
		defer func() { a.Stop(); b.Stop(); c.Stop() }()
		f := func(l *gossip.MeshList, want string) {
			t.Helper()
			if got := names(l.Peers()); got != want {
				t.Fatalf("%s sees %s, want %s", l.Addr(), got, want)
			}
		}
		f(a, "[]")
		for _, l := range []*gossip.MeshList{b, c} {
			if n, err := l.Join(t.Context(), []string{a.Addr(), "mesh:nobody"}); n != 1 || err != nil {
				t.Fatalf("joined %d, %v", n, err)
			}
		}
		f(a, "[b/b:1/1 c/c:1/1]")
		f(b, "[a/a:1/1 c/c:1/1]")
		cut = true
		f(a, "[b/b:1/1]")
		f(c, "[]")
		if n, err := c.Join(t.Context(), []string{a.Addr()}); n != 0 || !cluster.Is(err, cluster.KindUnavailable) {
			t.Fatalf("joined %d, %v", n, err)
		}
		cut = false
		b.Stop()
		f(a, "[c/c:1/1]")
		b = m.Start(peer("b", 2), gossip.Events{})
		f(a, "[b/b:1/2 c/c:1/1]")
		synctest.Wait()
		want := []string{"joined b b:1 1", "joined c c:1 1", "left b b:1 1", "joined b b:1 2"}
		if !slices.Equal(d.lines, want) {
			t.Fatalf("events %q, want %q", d.lines, want)
		}
	})
}
