package control

import "github.com/aisle-store/aisle/cluster"

// process is one start of a node: who holds a lease.
type process struct {
	node        cluster.NodeID
	incarnation cluster.Incarnation
}

func (c *Control) me() process { return processOf(c.options.Node) }

func processOf(n cluster.Node) process { return process{n.ID, n.Incarnation} }

// names reports whether a map says that this process acts for its node.
func names(m *cluster.Map, p process) bool {
	n, ok := m.Node(p.node)
	return ok && n.Incarnation == p.incarnation
}
