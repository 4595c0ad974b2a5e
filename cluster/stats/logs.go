package stats

// Logs is what a node has done with the lines of buckets' access logs, since it started.
type Logs struct{ Delivered, Dropped int64 }

// WatchLogs makes the access logs part of the registry; read is called when somebody looks.
func (reg *Registry) WatchLogs(read func() Logs) {
	reg.r.MustRegister(collector[Logs]{metrics: logMetrics, read: func() []labelled[Logs] { return []labelled[Logs]{{value: read()}} }})
}

var logMetrics = []metric[Logs]{
	counter("aisle_access_log_delivered_total", "Lines of buckets' access logs that were written into their target buckets.", nil, func(l *Logs) float64 { return float64(l.Delivered) }),
	counter("aisle_access_log_dropped_total", "Lines that were lost: the target bucket is gone, or took too long.", nil, func(l *Logs) float64 { return float64(l.Dropped) }),
}
