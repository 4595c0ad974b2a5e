package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/raftnode"
	"github.com/aisle-store/aisle/cluster/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is for several members with real disks on a machine that may be busy with other things.
var patient = raftnode.Timing{
	Heartbeat: 1500 * time.Millisecond, Election: 1500 * time.Millisecond, LeaderLease: 1500 * time.Millisecond,
	Commit: 10 * time.Millisecond, Call: 5 * time.Second,
}

// quick lets a single member elect itself in a fraction of a second.
var quick = raftnode.Timing{
	Heartbeat: 100 * time.Millisecond, Election: 100 * time.Millisecond, LeaderLease: 100 * time.Millisecond,
	Commit: 10 * time.Millisecond, Call: time.Second,
}

// book holds the current address of each member.
type book struct {
	mu    sync.Mutex
	addrs map[cluster.NodeID]string
}

func (b *book) set(id cluster.NodeID, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addrs[id] = addr
}

func (b *book) resolve(id cluster.NodeID) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addr, ok := b.addrs[id]; ok {
		return addr, nil
	}
	return "", fmt.Errorf("no address of %s", id)
}

// process is one member with real disks and sockets.
type process struct {
	id      cluster.NodeID
	dir     string
	timing  raftnode.Timing
	mux     *secret.Mux
	journal *journal
	*raftnode.Engine
}

func startProcess(t *testing.T, p *process, b *book, addr string) {
	t.Helper()
	s, err := secret.Parse("the secret of a cluster that lives in a test")
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Identity()
	if err != nil {
		t.Fatal(err)
	}
	p.mux, err = secret.Listen(addr, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.set(p.id, p.mux.Addr().String())
	stores, err := raftnode.OpenDir(p.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.journal = &journal{}
	p.Engine, err = raftnode.Start(raftnode.Options{
		ID: p.id, FSM: p.journal, Stores: stores, Timing: p.timing,
		Retention: raftnode.Retention{Interval: 50 * time.Millisecond, Threshold: 20, Trailing: 5},
		Link: raftnode.NewStreams(raftnode.StreamOptions{
			ID: p.id, Listener: p.mux.Protocol(secret.Raft), Resolve: b.resolve,
			Dial: func(ctx context.Context, addr string) (net.Conn, error) { return id.Dial(ctx, secret.Raft, addr) },
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(p.Stop(), p.mux.Close()); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in 30 s: %s", what)
}

func leaderOf(t *testing.T, all []*process) *process {
	t.Helper()
	var found *process
	eventually(t, "a leader", func() bool {
		for _, p := range all {
			if p.IsLeader() && p.VerifyLeader(t.Context()) == nil {
				found = p
				return true
			}
		}
		return false
	})
	return found
}

// TestRealCluster runs three members on disks and TLS: it elects, commits, compacts, and finds itself again after all
// were stopped and came back in another order, each at an address that was another's.
func TestRealCluster(t *testing.T) {
	b := &book{addrs: make(map[cluster.NodeID]string)}
	var all []*process
	for i := range 3 {
		p := &process{id: cluster.NodeID(fmt.Sprintf("n%d", i)), dir: t.TempDir(), timing: patient}
		startProcess(t, p, b, "127.0.0.1:0")
		all = append(all, p)
	}
	if all[0].Bootstrapped() {
		t.Fatal("a new member has state")
	}
	if err := all[0].Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := all[0].Bootstrap(t.Context()); !cluster.Is(err, cluster.KindConflict) {
		t.Fatalf("bootstrapped twice: %v", err)
	}
	leader := leaderOf(t, all)
	for _, p := range all[1:] {
		if err := leader.AddVoter(t.Context(), p.id); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	commit := func(n int) {
		t.Helper()
		leader := leaderOf(t, all)
		for range n {
			want = append(want, fmt.Sprint(len(want)))
			if _, _, err := leader.Propose(t.Context(), []byte(want[len(want)-1])); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range all {
			eventually(t, string(p.id)+" has everything", func() bool { return slices.Equal(p.journal.all(), want) })
		}
	}
	commit(60)
	eventually(t, "a snapshot", func() bool {
		snapshots, err := filepath.Glob(filepath.Join(all[0].dir, "snapshots", "*-*-*", "state.bin"))
		return err == nil && len(snapshots) > 0
	})
	var addrs []string
	for _, p := range all {
		addrs = append(addrs, p.mux.Addr().String())
		p.stop(t)
	}
	for i, p := range all {
		startProcess(t, p, b, addrs[(i+1)%3])
	}
	commit(10)
	all[1].stop(t)
	startProcess(t, all[1], b, "127.0.0.1:0")
	commit(10)
	for _, p := range all {
		p.stop(t)
	}
}

// TestStreamForAnotherMember dials an address at which another member lives now: it must not answer in the name of the
// one meant.
func TestStreamForAnotherMember(t *testing.T) {
	b := &book{addrs: make(map[cluster.NodeID]string)}
	first := &process{id: "first", dir: t.TempDir(), timing: quick}
	startProcess(t, first, b, "127.0.0.1:0")
	defer func() { first.stop(t) }()
	other := &process{id: "other", dir: t.TempDir(), timing: quick}
	startProcess(t, other, b, "127.0.0.1:0")
	defer func() { other.stop(t) }()
	if err := first.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*process{first})
	b.set("meant", other.mux.Addr().String())
	if err := first.AddNonvoter(t.Context(), "meant"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * quick.Heartbeat)
	if other.Bootstrapped() || other.LastIndex() != 0 {
		t.Fatal("a member took what was meant for another")
	}
	if m := first.Members()[1]; m.CaughtUp || m.LastContact >= 0 {
		t.Fatalf("the leader believes to have met it: %+v", m)
	}
}

func TestDirIsLocked(t *testing.T) {
	dir := t.TempDir()
	b := &book{addrs: make(map[cluster.NodeID]string)}
	p := &process{id: "n", dir: dir, timing: quick}
	startProcess(t, p, b, "127.0.0.1:0")
	if _, err := raftnode.OpenDir(dir, nil); !cluster.Is(err, cluster.KindConflict) {
		t.Fatalf("opened twice: %v", err)
	}
	p.stop(t)
	startProcess(t, p, b, "127.0.0.1:0")
	p.stop(t)
}

// TestUncleanCopy copies the directory of a running member, as a crash would leave it, after each acknowledged command,
// and opens the copy: everything acknowledged is there.
func TestUncleanCopy(t *testing.T) {
	b := &book{addrs: make(map[cluster.NodeID]string)}
	p := &process{id: "n", dir: t.TempDir(), timing: quick}
	startProcess(t, p, b, "127.0.0.1:0")
	if err := p.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*process{p})
	var want []string
	for i := range 6 {
		for range 5 {
			want = append(want, fmt.Sprint(len(want)))
			if _, _, err := p.Propose(t.Context(), []byte(want[len(want)-1])); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 2 {
			if err := p.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		copied := &process{id: "n", dir: t.TempDir(), timing: quick}
		if err := os.CopyFS(copied.dir, os.DirFS(p.dir)); err != nil {
			t.Fatal(err)
		}
		startProcess(t, copied, &book{addrs: make(map[cluster.NodeID]string)}, "127.0.0.1:0")
		leaderOf(t, []*process{copied})
		if err := copied.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := copied.journal.all(); !slices.Equal(got, want) {
			t.Fatalf("the copy has %v, want %v", got, want)
		}
		copied.stop(t)
	}
	p.stop(t)
}

// TestLogger shows that what raft says reaches slog with its level.
func TestLogger(t *testing.T) {
	var lines records
	disk := raftnode.NewMemoryDisk()
	e, err := raftnode.Start(raftnode.Options{
		ID: "n", FSM: &journal{}, Stores: disk.Open(), Link: raftnode.NewNetwork(0).Link("n"), Logger: slog.New(&lines),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	lines.mu.Lock()
	defer lines.mu.Unlock()
	if !slices.ContainsFunc(lines.all, func(r slog.Record) bool { return r.Level == slog.LevelInfo && r.Message == "initial configuration" }) {
		t.Fatalf("got %v", lines.all)
	}
}

// records is a slog.Handler that remembers.
type records struct {
	mu  sync.Mutex
	all []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }

func (r *records) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record)
	return nil
}
