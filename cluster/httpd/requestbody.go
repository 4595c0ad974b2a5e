package httpd

// requestBody reads the body of a request from its connection.
type requestBody struct{ started bool }

func (b *requestBody) replayable() bool { return !b.started }
