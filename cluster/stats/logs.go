package stats

// Logs is what a node has done with the lines of buckets' access logs, since it started.
type Logs struct{ Delivered, Dropped int64 }

// WatchDenials makes the number of denied requests part of the registry; read is called when somebody looks.
func (reg *Registry) WatchDenials(read func() int64) {
	reg.r.MustRegister(collector[int64]{metrics: denialMetrics, read: func() []labelled[int64] { return []labelled[int64]{{value: read()}} }})
}

var denialMetrics = []metric[int64]{
	counter("aisle_denied_total", "Requests that policies or access control lists denied; `aisle auth show denials` tells the last ones.", nil, func(n *int64) float64 { return float64(*n) }),
}

// WatchLogs makes the access logs part of the registry; read is called when somebody looks.
func (reg *Registry) WatchLogs(read func() Logs) {
	reg.r.MustRegister(collector[Logs]{metrics: logMetrics, read: func() []labelled[Logs] { return []labelled[Logs]{{value: read()}} }})
}

var logMetrics = []metric[Logs]{
	counter("aisle_access_log_delivered_total", "Lines of buckets' access logs that were written into their target buckets.", nil, func(l *Logs) float64 { return float64(l.Delivered) }),
	counter("aisle_access_log_dropped_total", "Lines that were lost: the target bucket is gone, or took too long.", nil, func(l *Logs) float64 { return float64(l.Dropped) }),
}
