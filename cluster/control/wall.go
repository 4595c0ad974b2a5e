package control

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Nothing is ordered, granted or decided by wall clocks. But what is to end at a date, as a retention or what a lifecycle rule keeps,
// can end by one only, and a node does not see that its own is wrong. So each renewal tells the wall clock of its node, and the
// answer the cluster's, which is the median of those of its nodes.

// wallTolerance is how far a node's wall clock may be from the cluster's: as far as those of clients may, whose requests are signed.
const wallTolerance = 15 * time.Minute

// wall is what a node knows of the cluster's wall clock.
type wall struct {
	since atomic.Int64 // the cluster's wall clock when the node's clock was zero; 0: not known yet
	wrong atomic.Bool  // the node's was too far from it when it was looked at last
}

// WallOff returns how far the wall clock of this node is ahead of the cluster's, and whether it knows.
func (c *Control) WallOff() (time.Duration, bool) {
	since := c.wall.since.Load()
	return time.Duration(c.options.Wall().UnixNano() - since - int64(c.clock.Now())), since != 0
}

// CheckWall returns nil while the wall clock of this node can tell whether a date is over, and else KindUnavailable. It is cheap.
func (c *Control) CheckWall() error {
	const op = "control.CheckWall"
	off, known := c.WallOff()
	switch {
	case !known:
		return cluster.Fail(op, "", cluster.KindUnavailable, "this node has not heard yet what time it is in the cluster")
	case off.Abs() > wallTolerance:
		return cluster.Fail(op, "", cluster.KindUnavailable, fmt.Sprintf("the wall clock of this node is %s ahead of the cluster's", off.Round(time.Second)))
	}
	return nil
}

// heardWall takes the cluster's wall clock from an answer to what was sent at the given clock time; zero: the leader did not tell.
func (c *Control) heardWall(at int64, sent time.Duration) {
	if at == 0 {
		return
	}
	c.wall.since.Store(at - int64(sent))
	off, _ := c.WallOff()
	switch wrong := off.Abs() > wallTolerance; {
	case wrong == c.wall.wrong.Swap(wrong):
	case wrong:
		c.log.Error("the wall clock is wrong: until it is set nothing expires here, and no retention ends", "ahead", off.Round(time.Second).String())
	default:
		c.log.Info("the wall clock is right again", "ahead", off.Round(time.Second).String())
	}
}

// wallClock returns the cluster's, or zero in the first moments of a term: until every node had the time to renew, those that did may
// be the wrong ones. It is called with t.mu held.
func (t *term) wallClock(v *View, now time.Duration) int64 {
	if now < t.began+t.options.Lease {
		return 0
	}
	var all []int64
	for _, n := range v.Map().Nodes {
		if h := t.mu.holders[processOf(n)]; h != nil && h.wall != 0 {
			all = append(all, h.wall)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2] // of two that differ neither is believed
	return low + (high-low)/2 + int64(now)
}
