package stats

// Notices is what a node has told one destination of events of buckets, since it started.
type Notices struct {
	Destination string
	Waiting     int // now
	Sent        int64
	Failed      int64
	Dead        int // dead letters now
	Dropped     int64
}

// WatchNotices makes the events of the node part of the registry; read is called when somebody looks.
func (reg *Registry) WatchNotices(read func() []Notices) {
	reg.r.MustRegister(collector[Notices]{metrics: noticeMetrics, read: func() []labelled[Notices] {
		var list []labelled[Notices]
		for _, n := range read() {
			list = append(list, labelled[Notices]{labels: []string{n.Destination}, value: n})
		}
		return list
	}})
}

var byDestination = []string{"destination"}

var noticeMetrics = []metric[Notices]{
	gauge("aisle_notify_waiting", "Events that wait to be sent by this node.", byDestination, func(n *Notices) float64 { return float64(n.Waiting) }),
	counter("aisle_notify_sent_total", "Events that the destination has taken.", byDestination, func(n *Notices) float64 { return float64(n.Sent) }),
	counter("aisle_notify_failed_total", "Attempts to send events that failed.", byDestination, func(n *Notices) float64 { return float64(n.Failed) }),
	gauge("aisle_notify_dead", "Dead letters of this node: events that waited too long, that the destination refuses for good, or whose destination is gone.", byDestination, func(n *Notices) float64 { return float64(n.Dead) }),
	counter("aisle_notify_dropped_total", "Events that were never sent: too many waited, or there was no room or time left among the dead letters, or an operator dropped them.", byDestination, func(n *Notices) float64 { return float64(n.Dropped) }),
}
