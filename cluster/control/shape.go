package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/internal/state"
)

// Shaping is what brings the holders of all slots to where they belong: see docs/consistency.md. What is decided follows from
// the map and from the standings of its targets alone.

// shapePause is how long the leader waits after it has changed holders, so that the next change does more at once.
const shapePause = time.Second

// standing is how a target is seen at a moment.
type standing struct {
	leased  bool // it holds a lease, so it may own slots and be admitted
	near    bool // it does, or has been away for less than the repair delay
	dead    bool // its lease has ended and it is not heard of, or it has stopped
	barred  bool // it is not admitted anywhere for now
	suspect bool // what it owns goes to others
	leaving bool // what it holds goes to others
	lost    bool // it will never answer
	parked  bool // it is out for a while with its data: what it owns goes to others, and nobody takes its place
}

// standings are those of all targets of a map.
type standings map[cluster.NodeID]standing

// standings looks at the targets of a map.
func (t *term) standings(m *cluster.Map) standings {
	now, repairDelay := t.clock.Now(), t.options.RepairDelay
	if set := t.View().Setting(config.RepairDelay.Name); set != "" || repairDelay == 0 {
		repairDelay = config.RepairDelay.Get(t.View().Setting)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(standings, len(m.Nodes))
	for _, n := range m.Targets() {
		p := processOf(n)
		s := standing{suspect: t.mu.suspects[p] > now}
		l, leaving := t.mu.leaving[n.ID]
		s.leaving, s.parked = leaving && l.refused == nil || n.Mode.Leaving(), n.Mode.Parked()
		s.barred = s.suspect || s.leaving || s.parked
		s.lost = n.Mode == cluster.NodeLost
		for _, a := range t.mu.accusations {
			s.barred = s.barred || a.accused == p && now-a.at <= accuseWindow
		}
		seen := t.began
		if h := t.mu.holders[p]; h != nil {
			_, s.leased = h.leased(now)
			s.leased = s.leased && !h.gone
			s.barred = s.barred || h.full
			seen = max(seen, h.contact)
			s.dead = h.gone
		}
		s.dead = !s.leased && (s.dead || now-seen > t.leaseEnd(0))
		s.near = s.leased || s.parked || now-seen <= repairDelay
		all[n.ID] = s
	}
	return all
}

// heir returns the holder that takes over from an owner which cannot or must not go on, or nobody.
func (s standings) heir(holders []cluster.Holder) cluster.NodeID {
	for i, h := range holders {
		if at := s[h.Node]; i > 0 && h.Whole() && at.leased && !at.suspect && !at.parked {
			return h.Node
		}
	}
	return ""
}

// ranking is the order of the targets for each slot of a map, for the shape that the map is to have.
type ranking struct {
	active    *cluster.Map
	standings standings
	least     map[cluster.Layout]int              // on how many targets writes must be, by the buckets that there are
	rank      func(cluster.Slot) []cluster.NodeID // of those that are to hold slots
}

// ranking ranks the targets that are there to stay.
func (t *term) ranking(m *cluster.Map, s standings) *ranking {
	targets := slices.DeleteFunc(m.Targets(), func(n cluster.Node) bool {
		at := s[n.ID]
		return !at.near || at.leaving || at.suspect
	})
	return &ranking{active: m, standings: s, least: leastOf(t.View()), rank: t.ranks.of(targets, t.options.rank)}
}

// leastOf returns, for each layout that has buckets, on how many targets writes to the most demanding of them must be.
func leastOf(v *View) map[cluster.Layout]int {
	least := make(map[cluster.Layout]int)
	for _, b := range v.state.Buckets {
		if id := int(b.ID.Layout()); id < len(v.Map().Layouts) {
			l := v.Map().Layouts[id]
			least[l] = max(least[l], b.Props.LeastCopies(), min(l.Data+1, l.Width()))
		}
	}
	return least
}

// plan is what is to be done about the holders of slots.
type plan struct {
	base     cluster.MapVersion
	failover map[cluster.NodeID]*cluster.SlotSet // slots whose owner cannot go on, by their new one
	changes  []state.Placement                   // who else is to hold what
	moves    map[cluster.NodeID]*cluster.SlotSet // slots that go to the owner they should have
}

// plan decides for every slot.
func (r *ranking) plan() plan {
	p := plan{base: r.active.Version, failover: make(map[cluster.NodeID]*cluster.SlotSet), moves: make(map[cluster.NodeID]*cluster.SlotSet)}
	var changes placements
	put := func(sets map[cluster.NodeID]*cluster.SlotSet, id cluster.NodeID, slot cluster.Slot) {
		if sets[id] == nil {
			sets[id] = &cluster.SlotSet{}
		}
		sets[id].Add(slot)
	}
	r.decide(func(slot cluster.Slot, d decision) {
		switch {
		case d.heir != "":
			put(p.failover, d.heir, slot)
		case d.places != nil:
			changes.add(slot, d.places)
		case d.owner != "":
			put(p.moves, d.owner, slot)
		}
	}, r.decision)
	p.changes = changes.list()
	return p
}

// decision is what is to be done about one slot; nothing, when it is zero.
type decision struct {
	heir   cluster.NodeID // the new owner, since the old one cannot go on
	places []state.Place  // the new holders
	owner  cluster.NodeID // the new owner, which belongs there
}

// decide calls f for every slot with what decision says about its holders. Slots that share holders and rank follow each
// other, and are decided once.
func (r *ranking) decide(f func(cluster.Slot, decision), decision func([]cluster.Holder, []cluster.NodeID, cluster.Layout) decision) {
	type question struct {
		holder *cluster.Holder
		count  int
		ranked *cluster.NodeID
		layout cluster.LayoutID
	}
	var last question
	answer := decision(nil, nil, cluster.Layout{})
	for i := range r.active.Slots {
		slot := cluster.Slot(i)
		holders, ranked := r.active.Slots[i].Holders, r.rank(slot)
		if len(holders) == 0 {
			continue
		}
		q := question{holder: &holders[0], count: len(holders), layout: slot.Layout()}
		if len(ranked) > 0 {
			q.ranked = &ranked[0]
		}
		if q != last {
			last, answer = q, decision(holders, ranked, r.active.Layouts[slot.Layout()])
		}
		f(slot, answer)
	}
}

// decision says what is to be done about a slot with these holders, by the rank of the targets that are there to stay.
func (r *ranking) decision(holders []cluster.Holder, ranked []cluster.NodeID, layout cluster.Layout) (d decision) {
	if len(holders) == 0 {
		return d
	}
	owner := holders[0].Node
	if at := r.standings[owner]; at.dead || at.suspect || at.parked || holders[0].Partial {
		d.heir = r.standings.heir(holders)
		if d.heir == "" && at.dead {
			d.heir = r.finder(holders, ranked)
		}
	}
	if d.heir != "" || !r.standings[owner].leased {
		return d // nobody can catch up with an owner that does not answer
	}
	wanted := ranked[:min(layout.Width(), len(ranked))]
	next := r.filled(holders, wanted, wanted, ranked, layout)
	whole := len(wanted) > 0
	for _, id := range wanted {
		i := slices.IndexFunc(next, func(p state.Place) bool { return p.Node == id })
		h, _ := cluster.SlotState{Holders: holders}.Holder(id)
		whole = whole && i >= 0 && next[i].InSync && !h.Partial && r.standings[id].leased && !r.standings[id].parked
	}
	if whole {
		few := slices.DeleteFunc(slices.Clone(next), func(p state.Place) bool { return p.Node != owner && !slices.Contains(wanted, p.Node) })
		if suffice(layout, few) {
			next = few
		}
	}
	if !holders[0].Partial && layout.Whole(holders) >= layout.Needed() {
		for i := range next { // those that are partial get what they lost
			h, _ := cluster.SlotState{Holders: holders}.Holder(next[i].Node)
			next[i].InSync = next[i].InSync && !h.Partial
		}
	}
	switch {
	case !slices.Equal(next, placesOf(holders)):
		d.places = next
	case whole && wanted[0] != owner:
		d.owner = wanted[0]
	}
	return d
}

// finder returns who takes over a slot of which nobody is left that has it all: a holder that was catching up, else the one that
// should own it; nobody, unless everybody who had it all is lost.
func (r *ranking) finder(holders []cluster.Holder, ranked []cluster.NodeID) cluster.NodeID {
	for _, h := range holders {
		if at := r.standings[h.Node]; h.InSync && (!at.lost || at.leased) {
			return ""
		}
	}
	able := func(id cluster.NodeID) bool { at := r.standings[id]; return at.leased && !at.barred }
	for _, h := range holders {
		if able(h.Node) {
			return h.Node
		}
	}
	if i := slices.IndexFunc(ranked, able); i >= 0 {
		return ranked[i]
	}
	return ""
}

// filled adds to the holders of a slot those that are wanted, and others for as long as too few answer. Who is parked is
// missed only when writes are refused without it: ideal are those that belong there.
func (r *ranking) filled(holders []cluster.Holder, wanted, ideal, ranked []cluster.NodeID, layout cluster.Layout) []state.Place {
	next, width := placesOf(holders), layout.Width()
	admit := func(id cluster.NodeID) bool {
		at := r.standings[id]
		if !at.leased || at.barred || slices.ContainsFunc(next, func(p state.Place) bool { return p.Node == id }) {
			return false
		}
		next = append(next, state.Place{Node: id})
		return true
	}
	for _, id := range wanted {
		admit(id)
	}
	there, awake := 0, 0
	for _, p := range next {
		if at := r.standings[p.Node]; at.near && !at.leaving {
			there++
			if !at.parked {
				awake++
			}
		}
	}
	for _, id := range ideal {
		if r.standings[id].parked && !slices.ContainsFunc(next, func(p state.Place) bool { return p.Node == id }) {
			there++
		}
	}
	for _, id := range ranked {
		if (there < width || awake < r.least[layout]) && admit(id) {
			there, awake = there+1, awake+1
		}
	}
	if layout.Data > 0 {
		return r.giveShards(next, len(holders), wanted, width)
	}
	return next
}

// giveShards gives each of the wanted holders a shard that no other of them has; the holders from known on are new. Who keeps
// one goes on with it, those in sync before others, the owner first; the others get the lowest that is left, which may be that
// of one who is not wanted. Who stands in gets one that nobody who is there keeps, or stays away.
func (r *ranking) giveShards(next []state.Place, known int, wanted []cluster.NodeID, width int) []state.Place {
	taken := make([]bool, width)
	isWanted := func(p state.Place) bool { return slices.Contains(wanted, p.Node) }
	take := func(p state.Place) bool {
		free := !taken[p.Shard]
		taken[p.Shard] = true
		return free
	}
	give := func(p *state.Place) {
		p.Shard, p.InSync = uint8(slices.Index(taken, false)), false
		taken[p.Shard] = true
	}
	var without []*state.Place
	for _, inSync := range []bool{true, false} {
		for i := range next[:known] {
			if p := &next[i]; p.InSync == inSync && isWanted(*p) && !take(*p) {
				without = append(without, p)
			}
		}
	}
	for i := known; i < len(next); i++ {
		if isWanted(next[i]) {
			without = append(without, &next[i])
		}
	}
	for _, p := range without {
		give(p)
	}
	for _, p := range next[:known] {
		if at := r.standings[p.Node]; !isWanted(p) && at.near && !at.leaving {
			take(p)
		}
	}
	kept := next[:known]
	for i := known; i < len(next); i++ {
		if !isWanted(next[i]) {
			if !slices.Contains(taken, false) {
				continue
			}
			give(&next[i])
		}
		kept = append(kept, next[i])
	}
	return kept
}

// suffice reports whether what the places in sync keep is enough to read everything.
func suffice(layout cluster.Layout, places []state.Place) bool {
	holders := make([]cluster.Holder, len(places))
	for i, p := range places {
		holders[i] = cluster.Holder{InSync: p.InSync, Shard: p.Shard}
	}
	return layout.InSync(holders) >= layout.Needed()
}

func placesOf(holders []cluster.Holder) []state.Place {
	places := make([]state.Place, len(holders))
	for i, h := range holders {
		places[i] = state.Place{Node: h.Node, InSync: h.InSync, Shard: h.Shard}
	}
	return places
}

// without returns the changes that take holders out of all slots that they do not own, of those for which ok is true, and
// in which enough are left.
func (r *ranking) without(ids []cluster.NodeID, ok func(cluster.SlotState) bool) []state.Placement {
	var changes placements
	r.decide(func(slot cluster.Slot, d decision) {
		if d.places != nil {
			changes.add(slot, d.places)
		}
	}, func(holders []cluster.Holder, ranked []cluster.NodeID, layout cluster.Layout) (d decision) {
		if len(holders) == 0 || !ok(cluster.SlotState{Holders: holders}) {
			return d
		}
		rest := slices.Clone(holders[:1])
		for _, h := range holders[1:] {
			if !slices.Contains(ids, h.Node) {
				rest = append(rest, h)
			}
		}
		enough := layout.Whole(rest) >= layout.Needed() || layout.Whole(holders) < layout.Needed()
		if len(rest) < len(holders) && enough && suffice(layout, placesOf(rest)) {
			others := slices.DeleteFunc(slices.Clone(ranked), func(id cluster.NodeID) bool { return slices.Contains(ids, id) })
			d.places = r.filled(rest, nil, ranked[:min(layout.Width(), len(ranked))], others, layout)
		}
		return d
	})
	return changes.list()
}

// placements collects slots by their new holders.
type placements struct {
	by   map[string]*state.Placement
	last *state.Placement
}

func (p *placements) add(slot cluster.Slot, places []state.Place) {
	if p.last == nil || &p.last.Holders[0] != &places[0] {
		key := placesKey(places)
		if p.by == nil {
			p.by = make(map[string]*state.Placement)
		}
		if p.by[key] == nil {
			p.by[key] = &state.Placement{Slots: &cluster.SlotSet{}, Holders: places}
		}
		p.last = p.by[key]
	}
	p.last.Slots.Add(slot)
}

// placesKey tells lists of holders apart.
func placesKey(places []state.Place) string {
	var buf [128]byte
	b := buf[:0]
	for _, p := range places {
		b = append(append(b, p.Node...), 0, p.Shard, ' ')
		if p.InSync {
			b[len(b)-1] = '!'
		}
	}
	return string(b)
}

// list returns them in an order of their own.
func (p *placements) list() []state.Placement {
	list := make([]state.Placement, 0, len(p.by))
	for _, key := range slices.Sorted(maps.Keys(p.by)) {
		list = append(list, *p.by[key])
	}
	return list
}

// shape returns the next change of holders, if there is one and it is time.
func (t *term) shape(p plan, now time.Duration) *state.Command {
	switch {
	case len(p.failover) > 0:
		return &state.Command{Propose: &state.Propose{Base: p.base, Moves: p.failover}}
	case now < t.shaped+shapePause:
		return nil
	case len(p.changes) > 0:
		t.shaped = now
		return &state.Command{Reshape: &state.Reshape{Base: p.base, Changes: p.changes}}
	case len(p.moves) > 0:
		t.shaped = now
		return &state.Command{Propose: &state.Propose{Base: p.base, Moves: p.moves}}
	}
	return nil
}

// planned plans for a view in which no map is pending, unless nothing has changed since it did last.
func (t *term) planned(v *View) plan {
	if !v.state.Formed() || v.Pending() != nil {
		return plan{}
	}
	m := v.Map()
	s := t.standings(m)
	if t.plans.version != m.Version || t.plans.buckets != v.BMDVersion() || !maps.Equal(t.plans.standings, s) {
		t.plans.version, t.plans.buckets, t.plans.standings, t.plans.plan = m.Version, v.BMDVersion(), s, t.ranking(m, s).plan()
	}
	return t.plans.plan
}

// ensureLayout adds a layout to the map if it lacks it and has the targets for it.
func (t *term) ensureLayout(ctx context.Context, l cluster.Layout) error {
	if _, ok := t.View().Map().LayoutID(l); ok {
		return nil
	}
	return t.proposeSteady(ctx, func(m *cluster.Map) *state.Command {
		if _, ok := m.LayoutID(l); ok || l.Validate() != nil || len(m.Layouts) >= cluster.MaxLayouts {
			return nil
		}
		if _, short := m.TooFewDisks(l); short {
			return nil
		}
		s := t.standings(m)
		targets := slices.DeleteFunc(m.Targets(), func(n cluster.Node) bool { return !s[n.ID].leased || s[n.ID].barred })
		if weighed(targets) < l.Width() {
			targets = m.Targets() // those that do not answer are found out by the first write
		}
		if weighed(targets) < l.Width() {
			return nil
		}
		rank, id := t.options.rank(targets), cluster.LayoutID(len(m.Layouts))
		var slots placements
		shared := make(map[string][]state.Place)
		for i := range cluster.Slots {
			slot := cluster.SlotIn(id, i)
			ranked := rank(slot)[:l.Width()]
			key := fmt.Sprint(ranked)
			if shared[key] == nil {
				for _, node := range ranked {
					shared[key] = append(shared[key], state.Place{Node: node, InSync: true})
				}
			}
			slots.add(slot, shared[key])
		}
		return &state.Command{AddLayout: &state.AddLayout{Base: m.Version, Layout: l, Slots: slots.list()}}
	})
}

// weighed counts the targets that can get slots.
func weighed(targets []cluster.Node) int {
	n := 0
	for _, t := range targets {
		n += cmp.Compare(t.Weight, 0)
	}
	return n
}

// rankTargets ranks by cluster.RankTargets, each slot once.
func rankTargets(targets []cluster.Node) func(cluster.Slot) []cluster.NodeID {
	var mu sync.Mutex
	known := make(map[cluster.Slot][]cluster.NodeID)
	return func(slot cluster.Slot) []cluster.NodeID {
		mu.Lock()
		defer mu.Unlock()
		ids, ok := known[slot]
		if !ok {
			ids = cluster.RankTargets(slot, targets)
			known[slot] = ids
		}
		return ids
	}
}

// ranks keeps the last order of targets: they change less often than the map.
type ranks struct {
	mu   sync.Mutex
	key  string                              // guarded by mu
	last func(cluster.Slot) []cluster.NodeID // guarded by mu
}

// of returns the order of the targets.
func (r *ranks) of(targets []cluster.Node, rank state.Rank) func(cluster.Slot) []cluster.NodeID {
	var b strings.Builder
	for _, n := range targets {
		fmt.Fprintf(&b, "%q %q %d\n", n.ID, n.Zone, n.Weight)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || r.key != b.String() {
		r.key, r.last = b.String(), rank(targets)
	}
	return r.last
}
