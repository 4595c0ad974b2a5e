package control

import (
	"context"
	"errors"
	"fmt"
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
	if _, err := n.running().control.CreateBucket(t.Context(), req, cluster.Native(name), testProps, "root", ""); err != nil {
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
		_, err = last.running().control.CreateBucket(ctx, "r1", cluster.Native("bucket"), testProps, "root", "")
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

// put writes a key through the owner, and returns it.
func put(t *testing.T, s *sim, k simKey) *simNode {
	t.Helper()
	for range 200 {
		owner, epoch := s.leader().running().control.View().Map().Owner(k.slot())
		n := s.node(owner)
		if p := n.running(); p != nil {
			if _, err := p.target.write(k, true, epoch); err == nil {
				return n
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%v cannot be written", k)
	return nil
}

// bucket makes a bucket of so many copies.
func bucket(t *testing.T, s *sim, copies int) cluster.BucketID {
	t.Helper()
	name := cluster.BucketName(fmt.Sprintf("bucket-%d", copies))
	e, err := s.leader().running().control.CreateBucket(t.Context(), cluster.RequestID(name), cluster.Native(name), cluster.BucketProps{Replicas: copies}, "root", "")
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestLeaveHandsOver(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, s *sim) {
		id := bucket(t, s, 1)
		leaver := s.all()[1]
		k := simKey{bucket: id}
		for i := 0; k.key == "" || ownerOf(s, k) != leaver.id; i++ {
			k.key = cluster.ObjectKey(fmt.Sprintf("key-%d", i))
		}
		put(t, s, k)
		if err := leaver.running().control.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		leaver.stop()
		if n := put(t, s, k); n == leaver {
			t.Error("the node that left still owns the key")
		}
		last := s.all()[0]
		if err := last.running().control.Leave(t.Context()); !cluster.Is(err, cluster.KindConflict) {
			t.Errorf("the last node: %v", err)
		}
	})
}

func ownerOf(s *sim, k simKey) cluster.NodeID {
	id, _ := s.leader().running().control.View().Map().Owner(k.slot())
	return id
}

func TestLeaveIsRefused(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, s *sim) {
		bucket(t, s, 2)
		err := s.all()[1].running().control.Leave(t.Context())
		if !cluster.Is(err, cluster.KindConflict) || !strings.Contains(err.Error(), "1 targets would be left") {
			t.Errorf("one of two targets left, though two copies are kept: %v", err)
		}
		put(t, s, simKey{bucket: cluster.NewBucketID(1, 1), key: "key"})
	})
}

func TestLayoutNeedsTargets(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, s *sim) {
		_, err := s.leader().running().control.CreateBucket(t.Context(), "r1", cluster.Native("wide"), cluster.BucketProps{Replicas: 3}, "root", "")
		if !cluster.Is(err, cluster.KindConflict) || !strings.Contains(err.Error(), "need 3 targets, and the cluster has 2") {
			t.Errorf("a bucket of three copies on two targets: %v", err)
		}
	})
}

// TestReplicasOfNewBuckets: who makes a bucket without saying how many copies it keeps gets what the leader decides, at each
// gateway.
func TestReplicasOfNewBuckets(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		inCluster(t, nodes, func(t *testing.T, s *sim) {
			f := func(setting string, want int) {
				t.Helper()
				at := s.all()[0].running().control
				if err := at.SetSettings(t.Context(), cluster.RequestID("set "+setting), map[string]string{"bucket.replicas": setting}); err != nil {
					t.Fatal(err)
				}
				for _, n := range s.all() {
					name := cluster.BucketName(fmt.Sprintf("bucket-%s-%s", n.id, setting))
					e, err := n.running().control.CreateBucket(t.Context(), cluster.RequestID(name), cluster.Native(name), cluster.BucketProps{}, "root", "")
					if want > len(s.all()) {
						if !cluster.Is(err, cluster.KindConflict) {
							t.Errorf("bucket.replicas=%s on %d targets: %v", setting, nodes, err)
						}
						continue
					}
					v := n.running().control.View()
					if kept := v.Map().Layouts[e.ID.Layout()]; err != nil || e.Props.Replicas != want || kept != (cluster.Layout{Copies: want}) {
						t.Errorf("bucket.replicas=%s on %d targets: %+v of %v, %v", setting, nodes, e, kept, err)
					}
				}
			}
			f("", map[int]int{1: 1, 3: 2}[nodes])
			f("auto", map[int]int{1: 1, 3: 2}[nodes])
			f("1", 1)
			f("3", 3)
			f("5", 5)
		})
	}
}

// A bucket gets another layout: it has another id, with the old one under it until the objects are moved, also when the leader
// crashes on the way. Meanwhile it can be changed, but neither converted again nor removed.
func TestConversion(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		b := cluster.Native("bucket")
		create(t, s.leader(), "r0", b.Name)
		before, _ := s.leader().running().control.View().Bucket(b)
		set := func(n *simNode, req cluster.RequestID, replicas int) (cluster.BucketEntry, error) {
			was, _ := n.running().control.View().Bucket(b)
			return n.running().control.SetBucketProps(t.Context(), req, b, was.Props, cluster.BucketProps{Checksum: cluster.ChecksumMD5, Replicas: replicas})
		}
		e, err := set(s.all()[1], "r1", 2)
		if err != nil || e.Under != before.ID || e.ID.Sequence() <= before.ID.Sequence() || e.Props.Replicas != 2 || e.State != cluster.BucketActive {
			t.Fatalf("%+v, %v", e, err)
		}
		for _, n := range s.all() {
			v, err := n.running().control.Current()
			if err != nil {
				t.Fatal(err)
			}
			now, _ := v.Bucket(b)
			over, ok := v.BucketOver(before.ID)
			if _, old := v.BucketByID(before.ID); now != e || !ok || over != e || old {
				t.Errorf("%s knows %+v and %+v", n.id, now, over)
			}
		}
		if again, err := set(s.all()[2], "r1", 2); err != nil || again != e {
			t.Errorf("a copy of the request: %+v, %v", again, err)
		}
		if _, err := set(s.all()[2], "r2", 3); !cluster.Is(err, cluster.KindConflict) {
			t.Errorf("another conversion: %v", err)
		}
		lost := s.leader()
		lost.crash()
		done := func() bool {
			if s.leader() == nil {
				return false
			}
			now, _ := s.leader().running().control.View().Bucket(b)
			return now.Under == 0
		}
		time.Sleep(10 * time.Second)
		if done() {
			t.Error("the conversion is over within the retry window")
		}
		if err := lost.start(time.Minute); err != nil { // it has the only copies of what it owns
			t.Fatal(err)
		}
		eventually(t, "the end of the conversion", 40*time.Second, done)
		if _, err := set(s.all()[0], "r3", 1); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for err = errors.New("not asked"); err != nil && !cluster.Is(err, cluster.KindBucketNotFound) && time.Since(began) < time.Minute; {
			err = s.all()[1].running().control.DeleteBucket(t.Context(), cluster.RequestID(fmt.Sprint("d", time.Since(began))), b)
		}
		if err != nil && !cluster.Is(err, cluster.KindBucketNotFound) { // one that gave up waiting may have come to its end
			t.Errorf("the bucket cannot be removed: %v", err)
		}
	})
}

// An owner is lost: a holder that is in sync takes over, and the copies are made up for.
func TestOwnerIsReplaced(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		k := simKey{bucket: bucket(t, s, 2), key: "key"}
		lost := put(t, s, k)
		if lost == s.leader() { // the hardest case is another test's
			k.key = "other"
			lost = put(t, s, k)
		}
		lost.crash()
		began := time.Now()
		eventually(t, "another owner", 6*time.Second, func() bool { return s.leader() != nil && ownerOf(s, k) != lost.id })
		within(t, "another owner", time.Since(began), 5*time.Second)
		v := s.node(ownerOf(s, k)).objects.record(k)
		if v.newest().generation.IsZero() {
			t.Fatal("the new owner has nothing")
		}
		began = time.Now()
		put(t, s, k) // accuses the lost one
		within(t, "a write without the lost holder", time.Since(began), 4*time.Second)
		eventually(t, "the lost copies", 10*time.Second, s.checks.whole)
		if err := lost.start(time.Minute); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the return", 30*time.Second, func() bool { return s.checks.whole() && s.checks.newestMap().OwnedBy()[lost.id] > 0 })
		put(t, s, k)
	})
}

// A join moves a share of what is there to the joining target, and nothing else.
func TestJoinTakesItsShare(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, s *sim) {
		for copies := 1; copies <= 3; copies++ {
			id := bucket(t, s, copies)
			for i := range 20 {
				put(t, s, simKey{bucket: id, key: cluster.ObjectKey(fmt.Sprint(i))})
			}
		}
		before := s.checks.newestMap()
		n := s.addNode()
		n.roles = cluster.Target | cluster.Proxy
		if err := n.start(time.Minute); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the share of the joining target", 30*time.Second, func() bool {
			m := s.checks.newestMap()
			return s.checks.whole() && m.OwnedBy()[n.id] > len(m.Slots)/6
		})
		m := s.checks.newestMap()
		for i := range m.Slots {
			if was, is := before.Slots[i].Owner(), m.Slots[i].Owner(); was != is && is != n.id {
				t.Fatalf("slot %d moved from %s to %s", i, was, is)
			}
		}
	})
}

// A holder that does not answer is taken out at once, and comes back when it does.
func TestSilentHolderIsTakenOut(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		k := simKey{bucket: bucket(t, s, 2)}
		var owner, silent *simNode
		for i := 0; owner == nil || owner == s.leader() || silent == s.leader(); i++ { // both must reach it
			k.key = cluster.ObjectKey(fmt.Sprint(i))
			holders := s.checks.newestMap().Slot(k.slot()).Holders
			owner, silent = s.node(holders[0].Node), s.node(holders[1].Node)
		}
		put(t, s, k)
		s.network.Cut(owner.id, silent.id)
		began := time.Now()
		put(t, s, k)
		within(t, "a write that a holder does not answer", time.Since(began), 3*time.Second)
		if _, ok := s.checks.newestMap().Slot(k.slot()).Holder(silent.id); ok {
			t.Error("the silent holder is still one")
		}
		s.network.HealAll()
		eventually(t, "the return of the holder", time.Minute, func() bool {
			h, ok := s.checks.newestMap().Slot(k.slot()).Holder(silent.id)
			return ok && h.InSync && s.checks.whole()
		})
	})
}

// Two nodes die at once, and only one of them comes back: it must still be in sync where the other one was the owner, though a
// third node accused it meanwhile.
func TestAccusedElsewhere(t *testing.T) {
	inCluster(t, 5, func(t *testing.T, s *sim) {
		id := bucket(t, s, 2)
		find := func(fits func(holders []cluster.Holder) bool) simKey {
			for i := 0; ; i++ {
				k := simKey{bucket: id, key: cluster.ObjectKey(fmt.Sprint(i))}
				if fits(s.checks.newestMap().Slot(k.slot()).Holders) {
					return k
				}
			}
		}
		leader := s.leader().id
		k := find(func(h []cluster.Holder) bool { return h[0].Node != leader && h[1].Node != leader })
		holders := s.checks.newestMap().Slot(k.slot()).Holders
		lost, back := s.node(holders[0].Node), s.node(holders[1].Node)
		other := find(func(h []cluster.Holder) bool { return h[0].Node != lost.id && h[1].Node == back.id })
		put(t, s, k)
		put(t, s, other)
		lost.crash()
		back.crash()
		put(t, s, other) // accuses the one that comes back
		if _, ok := s.checks.newestMap().Slot(other.slot()).Holder(back.id); ok {
			t.Error("the silent holder was not accused")
		}
		if err := back.start(time.Minute); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another owner", 30*time.Second, func() bool { return ownerOf(s, k) == back.id })
		if v := back.objects.record(k); v.newest().generation.IsZero() {
			t.Error("the new owner has nothing")
		}
		eventually(t, "the lost copies", time.Minute, func() bool {
			h := s.checks.newestMap().Slot(k.slot()).Holders
			return len(h) > 1 && h[0].InSync && h[1].InSync && h[1].Node != lost.id
		})
		if err := lost.start(time.Minute); err != nil { // so that the checks in the end are of a whole cluster
			t.Fatal(err)
		}
		eventually(t, "the return", time.Minute, s.checks.whole)
	})
}

// An owner that accuses everybody is the one that is wrong: what it owns goes to others.
func TestBadAccuser(t *testing.T) {
	inCluster(t, 4, func(t *testing.T, s *sim) {
		leader := s.leader()
		bad := s.member(func(n *simNode) bool { return n != leader })
		bucket(t, s, 3)
		c := bad.running().control
		owns := func() (cluster.Slot, cluster.SlotState) {
			m := s.checks.newestMap()
			for i := range cluster.Slots {
				if st := m.Slot(cluster.SlotIn(1, i)); st.Owner() == bad.id {
					return cluster.SlotIn(1, i), st
				}
			}
			return 0, cluster.SlotState{}
		}
		eventually(t, "slots of its own", time.Minute, func() bool { _, st := owns(); return len(st.Holders) == 3 && s.checks.whole() })
		slot, st := owns()
		err := c.Accuse(t.Context(), slot, st.Epoch, []cluster.NodeID{st.Holders[1].Node, st.Holders[2].Node})
		if !cluster.Is(err, cluster.KindConflict) {
			t.Errorf("a node accused two that hold leases: %v", err)
		}
		eventually(t, "other owners", 5*time.Second, func() bool { _, st := owns(); return st.Owner() == "" })
		eventually(t, "forgiveness", 2*time.Minute, func() bool { _, st := owns(); return st.Owner() != "" && s.checks.whole() })
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
		for _, method := range []string{methodRenew, methodChange, methodLeave, methodStatus, methodEnter, methodSeal, methodConfirm, methodAccuse, methodSynced} {
			f(method, `{"v":2}`, cluster.KindInvalid)
			f(method, `not json`, cluster.KindInvalid)
		}
		f("control.later", `{"v":1}`, cluster.KindNotImplemented)
		f(methodChange, `{"v":1,"command":{"cancel":{"version":1}}}`, cluster.KindInvalid)
	})
}
