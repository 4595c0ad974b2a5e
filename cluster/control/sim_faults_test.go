package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// cause makes faults until the context ends, several of them at a time.
func (s *sim) cause(ctx context.Context) {
	faults := []func(context.Context){
		s.cutInTwo, s.cutOff, s.cutOneWay, s.cutLeader, s.pauseOne, s.pauseOne, s.pauseLeader, s.pauseLeader,
		s.crashOne, s.crashOne, s.crashLeader, s.crashAll, s.crashForLong,
		s.pauseWhileWaiting, s.loseOffice, s.restartOne, s.join, s.leave, s.slowDown, s.cutDuringCrash,
		s.transferUnheard, s.cutBeforeAcknowledging, s.crashOwner, s.cutPair, s.cutPair,
		s.maintain, s.maintain, s.decommission, s.changeRepairDelay, s.setClock, s.setClock, s.changeRates,
	}
	for ctx.Err() == nil {
		fault := faults[s.pick(len(faults))]
		if s.flaw.focus != nil {
			fault = func(ctx context.Context) { s.flaw.focus(s, ctx) }
		}
		s.work.Go(func() { fault(ctx) })
		sleep(ctx, s.between(50*time.Millisecond, 4*time.Second))
	}
}

// heal ends all faults and starts every node that is down.
func (s *sim) heal() {
	s.checks.event("all faults end")
	s.network.HealAll()
	s.network.DelayAll(100*time.Microsecond, 5*time.Millisecond)
	for _, n := range s.all() {
		n.resume()
	}
	s.work.Go(s.endMaintenance)
	for _, n := range s.all() {
		s.work.Go(func() {
			for s.life.Err() == nil && !n.claim() {
				if n.hasLeft() || !sleep(s.life, 100*time.Millisecond) {
					return
				}
			}
			defer n.release()
			if !n.isRunning() {
				s.bringBack(n)
			}
		})
	}
}

// bringBack starts a node, and again if it does not get into the map while faults go on.
func (s *sim) bringBack(n *simNode) {
	for s.life.Err() == nil {
		err := n.start(20 * time.Second)
		if err == nil {
			return
		}
		n.crash()
		if cluster.Is(err, cluster.KindDenied) {
			n.leftForEver()
			return
		}
	}
}

func (n *simNode) hasLeft() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.left
}

func (n *simNode) leftForEver() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.left = true
}

// leader returns a node that believes that it leads, or nil.
func (s *sim) leader() *simNode {
	return s.member(func(n *simNode) bool {
		p := n.running()
		return p != nil && p.control.term.Load() != nil
	})
}

func (s *sim) cutInTwo(ctx context.Context) {
	var groups [2][]cluster.NodeID
	for _, n := range s.all() {
		side := s.pick(2)
		groups[side] = append(groups[side], n.id)
	}
	s.checks.event("partition %v | %v", groups[0], groups[1])
	s.network.Partition(groups[0], groups[1])
	sleep(ctx, s.between(100*time.Millisecond, 8*time.Second))
	s.checks.event("partition heals")
	s.network.HealAll()
}

func (s *sim) cutOff(ctx context.Context) { s.isolate(ctx, s.member((*simNode).isRunning), true, true) }

func (s *sim) cutLeader(ctx context.Context) { s.isolate(ctx, s.leader(), s.chance(60), s.chance(60)) }

func (s *sim) cutOneWay(ctx context.Context) {
	in := s.chance(50)
	s.isolate(ctx, s.member((*simNode).isRunning), in, !in)
}

// loseOffice cuts leader after leader off for a moment, while a node that does not answer makes decisions wait.
func (s *sim) loseOffice(ctx context.Context) {
	s.work.Go(func() { s.crashForLong(ctx) })
	for range 4 {
		leader := s.leader()
		if leader == nil {
			return
		}
		s.checks.event("%s loses touch", leader.id)
		s.network.Partition([]cluster.NodeID{leader.id}, s.others(leader))
		sleep(ctx, s.between(1500*time.Millisecond, 3*time.Second))
		s.network.HealAll()
		sleep(ctx, s.between(0, time.Second))
	}
}

func (s *sim) others(n *simNode) []cluster.NodeID {
	var ids []cluster.NodeID
	for _, other := range s.all() {
		if other != n {
			ids = append(ids, other.id)
		}
	}
	return ids
}

// isolate cuts a node off from some or all of the others.
func (s *sim) isolate(ctx context.Context, n *simNode, in, out bool) {
	if n == nil {
		return
	}
	every := s.chance(60)
	for _, other := range s.all() {
		if other == n || !every && s.chance(50) {
			continue
		}
		if in {
			s.network.Cut(other.id, n.id)
		}
		if out {
			s.network.Cut(n.id, other.id)
		}
	}
	s.checks.event("%s is cut off: in %v, out %v, from all %v", n.id, in, out, every)
	sleep(ctx, s.between(100*time.Millisecond, 8*time.Second))
	s.checks.event("%s is reached again", n.id)
	for _, other := range s.all() {
		s.network.Heal(other.id, n.id)
		s.network.Heal(n.id, other.id)
	}
}

func (s *sim) pauseOne(ctx context.Context) { s.pauseNode(ctx, s.member((*simNode).isRunning)) }

// pauseWhileWaiting pauses a node whose messages take long, so that it is often caught between a question and its answer,
// and learns late what has happened meanwhile.
func (s *sim) pauseWhileWaiting(ctx context.Context) {
	n := s.member(func(n *simNode) bool { return n.isRunning() && n != s.leader() })
	if n == nil {
		return
	}
	delay := func(min, max time.Duration) {
		for _, other := range s.all() {
			s.network.Delay(n.id, other.id, min, max)
			s.network.Delay(other.id, n.id, min, max)
		}
	}
	delay(200*time.Millisecond, 450*time.Millisecond)
	defer delay(100*time.Microsecond, 5*time.Millisecond)
	for range 4 {
		sleep(ctx, s.between(time.Second, 2*time.Second))
		s.checks.event("%s pauses while it waits", n.id)
		n.pause()
		sleep(ctx, s.between(4*time.Second, 5*time.Second))
		s.checks.event("%s goes on", n.id)
		n.resume()
	}
}

func (s *sim) pauseLeader(ctx context.Context) { s.pauseNode(ctx, s.leader()) }

func (s *sim) pauseNode(ctx context.Context, n *simNode) {
	if n == nil {
		return
	}
	s.checks.event("%s pauses", n.id)
	n.pause()
	sleep(ctx, s.between(10*time.Millisecond, 8*time.Second))
	s.checks.event("%s goes on", n.id)
	n.resume()
}

func (s *sim) crashOne(ctx context.Context) { s.crashNode(ctx, s.member((*simNode).isRunning)) }

func (s *sim) crashLeader(ctx context.Context) { s.crashNode(ctx, s.leader()) }

func (s *sim) crashNode(ctx context.Context, n *simNode) {
	s.takeDown(ctx, n, s.between(0, 6*time.Second))
}

// crashForLong keeps a node away for longer than anybody waits for it.
func (s *sim) crashForLong(ctx context.Context) {
	s.takeDown(ctx, s.member((*simNode).isRunning), sealTimeout+s.between(2*time.Second, 6*time.Second))
}

// cutPair cuts the way from one node to another, or both ways: they accuse each other.
func (s *sim) cutPair(ctx context.Context) {
	a, b := s.member((*simNode).isRunning), s.member((*simNode).isRunning)
	if a == nil || b == nil || a == b {
		return
	}
	s.network.Cut(a.id, b.id)
	if s.chance(50) {
		s.network.Cut(b.id, a.id)
	}
	s.checks.event("%s does not reach %s", a.id, b.id)
	sleep(ctx, s.between(time.Second, 8*time.Second))
	s.network.Heal(a.id, b.id)
	s.network.Heal(b.id, a.id)
	s.checks.event("%s reaches %s", a.id, b.id)
}

// crashOwner keeps a node away for long enough that others own what it owned, and crashes another one meanwhile.
func (s *sim) crashOwner(ctx context.Context) {
	s.work.Go(func() { s.crashForLong(ctx) })
	sleep(ctx, s.between(3*time.Second, 9*time.Second))
	s.crashNode(ctx, s.member((*simNode).isRunning))
}

func (s *sim) takeDown(ctx context.Context, n *simNode, away time.Duration) {
	if n == nil || !n.claim() {
		return
	}
	defer n.release()
	n.crash()
	sleep(ctx, away)
	s.bringBack(n)
}

func (s *sim) crashAll(ctx context.Context) {
	if !s.chance(30) {
		return
	}
	for _, n := range s.all() {
		s.work.Go(func() { s.crashNode(ctx, n) })
	}
}

// cutDuringCrash crashes the leader while another node hears nothing.
func (s *sim) cutDuringCrash(ctx context.Context) {
	s.work.Go(func() { s.cutOneWay(ctx) })
	sleep(ctx, s.between(0, 2*time.Second))
	s.crashLeader(ctx)
}

func (s *sim) restartOne(ctx context.Context) {
	n := s.member((*simNode).isRunning)
	if n == nil || !n.claim() {
		return
	}
	defer n.release()
	n.stop()
	sleep(ctx, s.between(0, 3*time.Second))
	s.bringBack(n)
}

func (s *sim) join(context.Context) {
	if n := s.addNode(); n != nil && n.claim() {
		defer n.release()
		s.bringBack(n)
	}
}

// leave takes a node out for ever, if it has nothing to lose.
func (s *sim) leave(context.Context) {
	n := s.member((*simNode).isRunning)
	if n == nil || len(s.all()) < 5 || !n.claim() {
		return
	}
	defer n.release()
	p := n.running()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.life, 20*time.Second)
	defer cancel()
	n.askedToLeave.Store(true)
	err := p.control.Leave(ctx)
	s.checks.event("%s leaves: %v", n.id, err)
	if err == nil {
		n.stop()
		n.leftForEver()
	}
}

// setModes changes the modes of nodes through any of them, once.
func (s *sim) setModes(ctx context.Context, mode cluster.NodeMode, force bool, ids ...cluster.NodeID) error {
	via := s.member((*simNode).isRunning)
	if via == nil {
		return context.Canceled
	}
	p := via.running()
	if p == nil || !p.control.started.Load() {
		return context.Canceled
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	req := cluster.RequestID(fmt.Sprintf("mode %s of %v by %s at %v", mode, ids, via.id, time.Since(s.began)))
	costs, err := p.control.SetModes(ctx, req, ids, mode, force)
	s.checks.event("%v: mode %q by %s: %v %v", ids, mode, via.id, costs, err)
	return err
}

// maintain has one or two nodes in maintenance for a while, in which one of them may be down.
func (s *sim) maintain(ctx context.Context) {
	n, other := s.member((*simNode).isRunning), s.member((*simNode).isRunning)
	if n == nil || other == nil {
		return
	}
	ids := []cluster.NodeID{n.id}
	if other != n && s.chance(30) {
		ids = append(ids, other.id)
	}
	modes := []cluster.NodeMode{cluster.NodeMaintenance, cluster.NodeMaintenance, cluster.NodeShutdown, cluster.NodeDrained}
	if s.setModes(ctx, modes[s.pick(len(modes))], s.chance(50), ids...) != nil {
		return
	}
	sleep(ctx, s.between(0, 3*time.Second))
	if s.chance(50) {
		s.crashNode(ctx, n)
	}
	sleep(ctx, s.between(0, 8*time.Second))
	_ = s.setModes(ctx, cluster.NodeActive, false, ids...) // else endMaintenance does
}

// decommission takes a node out for ever by somebody else's word, unless it takes too long.
func (s *sim) decommission(ctx context.Context) {
	n := s.member((*simNode).isRunning)
	if n == nil || len(s.all()) < 5 || !n.claim() {
		return
	}
	defer n.release()
	gone := func() bool { return s.checks.newestMap().Removed[n.id] }
	if s.setModes(ctx, cluster.NodeDecommission, false, n.id) == nil {
		for end := time.Now().Add(15 * time.Second); !gone() && time.Now().Before(end); {
			if !sleep(s.life, 100*time.Millisecond) {
				return
			}
		}
	}
	for !gone() {
		if s.setModes(s.life, cluster.NodeActive, false, n.id) == nil || !sleep(s.life, time.Second) {
			return
		}
	}
	n.stop()
	n.leftForEver()
}

// endMaintenance makes every node active again.
func (s *sim) endMaintenance() {
	for sleep(s.life, 100*time.Millisecond) {
		var ids []cluster.NodeID
		for _, n := range s.checks.newestMap().Nodes {
			if n.Mode != cluster.NodeActive && !n.Mode.Going() {
				ids = append(ids, n.ID)
			}
		}
		if len(ids) > 0 {
			_ = s.setModes(s.life, cluster.NodeActive, false, ids...) // again, if that is not what the newest map says
		}
	}
}

// changeRepairDelay sets for how long a node may be away.
func (s *sim) changeRepairDelay(ctx context.Context) {
	n := s.member((*simNode).isRunning)
	if n == nil {
		return
	}
	p := n.running()
	if p == nil || !p.control.started.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	delay := s.between(time.Second, 12*time.Second).Round(time.Millisecond).String()
	err := p.control.SetSettings(ctx, cluster.RequestID("repair.delay "+delay+time.Since(s.began).String()), map[string]string{"repair.delay": delay})
	s.checks.event("repair.delay %s: %v", delay, err)
}

func (s *sim) slowDown(ctx context.Context) {
	s.checks.event("the network is slow")
	s.network.DelayAll(time.Millisecond, s.between(2*time.Millisecond, 300*time.Millisecond))
	sleep(ctx, s.between(100*time.Millisecond, 5*time.Second))
	s.checks.event("the network is quick")
	s.network.DelayAll(100*time.Microsecond, 5*time.Millisecond)
}

// transferUnheard has the leader hand over while it and some other nodes hear nothing of the rest: for a while they do not
// learn that another node leads.
func (s *sim) transferUnheard(ctx context.Context) {
	leader := s.leader()
	if leader == nil || !s.alone.TryLock() {
		return
	}
	defer s.alone.Unlock()
	p := leader.running()
	if p == nil {
		return
	}
	deaf, heir := []*simNode{leader}, cluster.NodeID("")
	members := p.control.engine.Members()
	for _, m := range members {
		switch n := s.node(m.ID); {
		case n == nil || n == leader:
		case !m.Voter || len(members) > 4 && len(deaf) < 2:
			deaf = append(deaf, n)
		default:
			heir = m.ID
		}
	}
	s.checks.event("%s hands over to %s; it and %d others hear nothing", leader.id, heir, len(deaf)-1)
	for _, n := range s.all() {
		for _, d := range deaf {
			if !slices.Contains(deaf, n) {
				s.network.Cut(n.id, d.id)
			}
		}
	}
	transfer, cancel := context.WithTimeout(p.life, time.Second)
	defer cancel()
	if err := p.control.engine.TransferLeadership(transfer, heir); err != nil {
		s.checks.event("%s: %v", leader.id, err)
	}
	sleep(ctx, s.between(4*time.Second, 6*time.Second))
	s.checks.event("everybody hears again")
	s.network.HealAll()
}

// cutBeforeAcknowledging brings about a map change, and cuts off a node that takes its time to acknowledge it.
func (s *sim) cutBeforeAcknowledging(ctx context.Context) {
	s.work.Go(func() { s.restartOne(ctx) })
	for sleep(ctx, 50*time.Millisecond) {
		slow := s.member((*simNode).owesAcknowledgement)
		if slow == nil {
			continue
		}
		if sleep(ctx, s.between(time.Second, 3*time.Second)); slow.owesAcknowledgement() {
			s.isolate(ctx, slow, true, true)
			return
		}
	}
}

// owesAcknowledgement reports whether a node has applied a pending map and not acknowledged it.
func (n *simNode) owesAcknowledgement() bool {
	p := n.running()
	if p == nil {
		return false
	}
	pending := p.control.View().Pending()
	return pending != nil && p.control.ack.Load().Map != pending.Version && names(p.control.View().Map(), p.control.me())
}
