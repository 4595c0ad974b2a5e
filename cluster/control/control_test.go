package control

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// inCluster runs a test in a healthy simulated cluster.
func inCluster(t *testing.T, nodes int, f func(t *testing.T, s *sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(1, flaw{})
		s.quickFences = true
		defer s.shutDown()
		if !s.form(nodes) {
			t.Fatal(s.checks.found())
		}
		time.Sleep(5 * time.Second) // until the right nodes have votes
		f(t, s)
		if found := s.checks.found(); len(found) > 0 {
			t.Errorf("%v\n%s", found, s.checks.transcript)
		}
	})
}

var testProps = cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: 1}

// create makes a bucket and returns how long it took.
func create(t *testing.T, n *simNode, req cluster.RequestID, name cluster.BucketName) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := n.running().control.CreateBucket(t.Context(), req, cluster.Native(name), testProps, "root"); err != nil {
		t.Fatalf("%s at %s: %v", name, n.id, err)
	}
	return time.Since(began)
}

func within(t *testing.T, what string, took, limit time.Duration) {
	t.Helper()
	if took > limit {
		t.Errorf("%s took %v, more than %v", what, took, limit)
	}
}

func TestChangesAreQuickAndSeenEverywhere(t *testing.T) {
	inCluster(t, 5, func(t *testing.T, s *sim) {
		for i, n := range s.all() {
			name := cluster.BucketName("bucket-" + string(n.id))
			within(t, "a change", create(t, n, cluster.RequestID(name), name), 100*time.Millisecond)
			for _, other := range s.all() {
				v, err := other.running().control.Current()
				if err != nil {
					t.Fatal(err)
				}
				if e, ok := v.Bucket(cluster.Native(name)); !ok || e.ID != cluster.BucketID(i+1) {
					t.Errorf("%s is not seen at %s", name, other.id)
				}
			}
		}
		v := s.all()[0].running().control.View()
		if k, ok := v.Key("root"); !ok || k.Secret != "secret" || !k.Root {
			t.Errorf("the root key is %+v", k)
		}
	})
}

func TestRequestIsDoneOnce(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		nodes := s.all()
		b := cluster.Native("bucket")
		create(t, nodes[0], "r1", "bucket")
		if err := nodes[1].running().control.DeleteBucket(t.Context(), "r2", b); err != nil {
			t.Fatal(err)
		}
		create(t, nodes[2], "r1", "bucket") // a copy of the first: answered, not done
		if _, ok := nodes[2].running().control.View().Bucket(b); ok {
			t.Error("a copy of an old request made the bucket again")
		}
		if err := nodes[1].running().control.DeleteBucket(t.Context(), "r3", b); !cluster.Is(err, cluster.KindBucketNotFound) {
			t.Errorf("another deletion: %v", err)
		}
	})
}

func TestOrderlyStopDelaysNobody(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		for _, n := range s.all() {
			n.stop()
			name := cluster.BucketName("without-" + string(n.id))
			other := s.member((*simNode).isRunning)
			within(t, "a change without "+string(n.id), create(t, other, cluster.RequestID(name), name), 500*time.Millisecond)
			began := time.Now()
			if err := n.start(time.Minute); err != nil {
				t.Fatal(err)
			}
			within(t, "the return of "+string(n.id), time.Since(began), time.Second)
		}
	})
}

func TestCrashDelaysOneLease(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		follower := s.member(func(n *simNode) bool { return n != s.leader() })
		follower.crash()
		leader := s.leader()
		took := create(t, leader, "r1", "first")
		within(t, "the first change after a crash", took, DefaultLease*12/10)
		if took < DefaultLease/2 {
			t.Errorf("the first change after a crash took %v: nobody waited for the lease", took)
		}
		within(t, "the second", create(t, leader, "r2", "second"), 100*time.Millisecond)
		began := time.Now()
		if err := follower.start(time.Minute); err != nil {
			t.Fatal(err)
		}
		within(t, "the return", time.Since(began), 4*time.Second) // raft tries a silent follower less and less often
	})
}

func TestNobodyAnswersWithoutMajority(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		last := s.leader()
		for _, n := range s.all() {
			if n != last {
				n.crash()
			}
		}
		time.Sleep(DefaultLease * 11 / 10)
		err := last.running().control.CheckLease()
		if !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("a node without a majority: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = last.running().control.CreateBucket(ctx, "r1", cluster.Native("bucket"), testProps, "root")
		if !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("a change without a majority: %v", err)
		}
	})
}

// TestOldTermDecidesNothing is about a leader that has lost its office and does not know it: its table of leases is out of
// date, so nothing that rests on it may take effect.
func TestOldTermDecidesNothing(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		leader := s.leader()
		create(t, leader, "r1", "bucket")
		current := leader.running().control.term.Load()
		old := &term{Control: current.Control, number: current.number - 1, life: t.Context(), commits: make(chan struct{}, 1)}
		if _, err := old.propose(t.Context(), state.Command{Request: "r2", SetSettings: &state.SetSettings{}}); !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("an old term made a change: %v", err)
		}
		if _, ok := leader.running().control.View().state.Outcome("r2"); ok {
			t.Error("an old term decided a request")
		}
		if _, err := old.outcome(t.Context(), "r1"); !cluster.Is(err, cluster.KindUnavailable) {
			t.Errorf("an old term would acknowledge what a later one decided: %v", err)
		}
		if r, err := current.outcome(t.Context(), "r1"); err != nil || r.Refused() {
			t.Errorf("the term that decided: %v, %v", r, err)
		}
	})
}

func TestLeave(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		leader := s.leader()
		leaver := leader // the hardest case
		if err := leaver.running().control.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		leaver.stop()
		for _, n := range s.all() {
			if n == leaver {
				continue
			}
			m := n.running().control.View().Map()
			if _, ok := m.Node(leaver.id); ok || m.OwnedBy()[leaver.id] > 0 {
				t.Errorf("%s still has the node in %v", n.id, m)
			}
		}
		if err := leaver.start(time.Minute); !cluster.Is(err, cluster.KindDenied) {
			t.Errorf("a node that left came back: %v", err)
		}
		leaver.crash()
	})
}

func TestLeaveIsRefused(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, s *sim) {
		first, second := s.all()[0], s.all()[1]
		m := second.running().control.View().Map()
		for i := range m.Slots {
			if m.Slots[i].Owner() == second.id {
				second.objects.put(cluster.Slot(i), simKey{1, "key"}, simObject{exists: true})
				break
			}
		}
		err := second.running().control.Leave(t.Context())
		if !cluster.Is(err, cluster.KindConflict) || !strings.Contains(err.Error(), "1 slots") {
			t.Errorf("a node left with the only copy: %v", err)
		}
		if err := first.running().control.Leave(t.Context()); err != nil {
			t.Errorf("the other node: %v", err)
		}
		first.stop()
		if err := second.running().control.Leave(t.Context()); !cluster.Is(err, cluster.KindConflict) {
			t.Errorf("the last node: %v", err)
		}
	})
}

func TestUnknownCommandStopsTheNode(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		leader := s.leader()
		if _, _, err := leader.running().control.engine.Propose(t.Context(), []byte(`{"v":99,"something":{}}`)); err == nil {
			t.Error("a command of a later version was applied")
		}
		time.Sleep(10 * time.Second)
		for _, n := range s.all() { // each either stopped, or is out of touch with those that did
			if err := n.running().control.CheckLease(); !cluster.Is(err, cluster.KindUnavailable) {
				t.Errorf("%s goes on without what it cannot apply: %v", n.id, err)
			}
		}
		why := string(leader.id) + " cannot go on: state machine halted"
		if !strings.Contains(s.checks.transcript.String(), why) {
			t.Errorf("the leader does not say why it stopped")
		}
	})
}

func TestMessageOfAnotherVersionIsRefused(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, s *sim) {
		c := s.all()[0].running().control
		f := func(method, body string, want cluster.Kind) {
			t.Helper()
			if _, err := c.HandlePeer(t.Context(), method, []byte(body)); cluster.KindOf(err) != want {
				t.Errorf("%s %s: %v, want %v", method, body, err, want)
			}
		}
		for _, method := range []string{methodRenew, methodChange, methodLeave, methodStatus, methodEnter, methodSeal, methodConfirm} {
			f(method, `{"v":2}`, cluster.KindInvalid)
			f(method, `not json`, cluster.KindInvalid)
		}
		f("control.later", `{"v":1}`, cluster.KindNotImplemented)
		f(methodChange, `{"v":1,"command":{"cancel":{"version":1}}}`, cluster.KindInvalid)
	})
}
