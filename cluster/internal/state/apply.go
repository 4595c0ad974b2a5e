package state

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// How long the outcomes of requests are remembered. A gateway gives up within seconds. The time in commands is that of the wall
// clocks of leaders, one of which may be hours ahead: so the latest outcomes stay, however old they seem.
const (
	outcomeWindow = 10 * time.Minute
	outcomeLatest = 1024
	outcomeLimit  = 4096
)

// Apply returns the state after the command at index, and the command's result. An error is a *FatalError: the caller
// must not go on.
func (s *State) Apply(index uint64, data []byte) (*State, Result, error) {
	c, err := Decode(data)
	if err != nil {
		return s, Result{}, err
	}
	if c.Form != nil && c.Form.Format > Format {
		return s, Result{}, newerFormat(c.Form.Format)
	}
	next := *s
	next.Index = index
	if c.Time.After(s.Time) {
		next.Time = c.Time
	}
	return &next, next.apply(c), nil
}

func newerFormat(format uint32) error {
	return &FatalError{Reason: fmt.Sprintf("the cluster has format %d, and this build knows up to %d", format, Format)}
}

// apply carries a command out on a state that is still the caller's own. A copy of a request gets the recorded outcome.
func (s *State) apply(c Command) Result {
	switch {
	case c.TakeOffice != nil:
		return s.takeOffice(c.Term)
	case c.Term != s.Term:
		return stale()
	case c.Form != nil:
		return s.form(*c.Form)
	}
	if !s.Formed() {
		return Refuse(cluster.KindUnavailable, "", "the cluster is not formed yet")
	}
	if c.Request == "" {
		return s.run(c)
	}
	if r, ok := s.Outcome(c.Request); ok {
		return r
	}
	r := s.run(c)
	if r.Begun {
		return r
	}
	return s.remember(c.Request, r)
}

// run is the table of commands.
func (s *State) run(c Command) Result {
	switch {
	case c.Propose != nil:
		return s.propose(*c.Propose)
	case c.Activate != nil:
		return s.activate(*c.Activate)
	case c.Cancel != nil:
		return s.cancel(*c.Cancel)
	case c.AddLayout != nil:
		return s.addLayout(*c.AddLayout)
	case c.Reshape != nil:
		return s.reshape(*c.Reshape)
	case c.InSync != nil:
		return s.inSync(*c.InSync)
	case c.SetMountpaths != nil:
		return s.setMountpaths(*c.SetMountpaths)
	case c.CreateBucket != nil:
		return s.createBucket(*c.CreateBucket)
	case c.SetBucketProps != nil:
		return s.setBucketProps(*c.SetBucketProps, c.Request)
	case c.SetBucketConfig != nil:
		return s.setBucketConfig(*c.SetBucketConfig)
	case c.BeginDelete != nil:
		return s.beginDelete(*c.BeginDelete, c.Request)
	case c.EndDelete != nil:
		return s.endDelete(*c.EndDelete)
	case c.SetModes != nil:
		return s.setModes(*c.SetModes)
	case c.ChangeIdentities != nil:
		return s.changeIdentities(*c.ChangeIdentities)
	case c.SetEncryptionKey != nil:
		return s.setEncryptionKey(*c.SetEncryptionKey)
	case c.Convert != nil:
		return s.convert(*c.Convert)
	case c.EndConversion != nil:
		return s.endConversion(*c.EndConversion)
	default:
		return s.setSettings(*c.SetSettings)
	}
}

// remember keeps the outcome of a request, which is decided now, and forgets old ones.
func (s *State) remember(req cluster.RequestID, r Result) Result {
	r.Index, r.Term = s.Index, s.Term
	first := 0
	for kept := len(s.Outcomes); kept >= outcomeLimit || kept >= outcomeLatest && s.Time.Sub(s.Outcomes[first].Time) > outcomeWindow; kept-- {
		first++
	}
	s.Outcomes = append(slices.Clone(s.Outcomes[first:]), Outcome{Request: req, Time: s.Time, Result: r})
	return r
}

// takeOffice begins a term, if none is later. Each term has one leader, which may say so twice.
func (s *State) takeOffice(term uint64) Result {
	if term < s.Term {
		return stale()
	}
	s.Term = term
	return Result{}
}

func stale() Result {
	r := Refuse(cluster.KindUnavailable, "", "another leader has taken office")
	r.Stale = true
	return r
}

func (s *State) form(f Form) Result {
	if s.Formed() {
		return Refuse(cluster.KindConflict, s.Active.ClusterID, "the cluster is formed already")
	}
	m := &cluster.Map{Version: 1, ClusterID: f.ClusterID, Created: s.Time, Removed: map[cluster.NodeID]bool{}}
	m.AddLayout(cluster.OneCopy())
	m.SetNode(f.Node)
	if f.Node.Roles.Has(cluster.Target) {
		holders := soleHolder(f.Node.ID, 1)
		for i := range m.Slots {
			m.Slots[i] = cluster.SlotState{Epoch: 1, Owned: 1, Holders: holders}
		}
	}
	s.Format, s.Active, s.LastVersion = f.Format, m, m.Version
	s.Settings = maps.Clone(f.Settings)
	s.Keys = slices.SortedFunc(slices.Values(f.Keys), compareKeys)
	return Result{Version: m.Version}
}

// soleHolder is the holders of a slot of one copy.
func soleHolder(id cluster.NodeID, admitted cluster.Epoch) []cluster.Holder {
	return []cluster.Holder{{Node: id, InSync: true, Admitted: admitted}}
}

func (s *State) setSettings(c SetSettings) Result {
	values := maps.Clone(s.Settings)
	if values == nil {
		values = make(map[string]string)
	}
	for name, value := range c.Values {
		if value == "" {
			delete(values, name)
		} else {
			values[name] = value
		}
	}
	s.Settings = values
	return Result{}
}
