package secret

// LimitCalls makes a server that has not begun refuse calls beyond n at a time.
func (s *Server) LimitCalls(n int) { s.slots = make(chan struct{}, n) }
