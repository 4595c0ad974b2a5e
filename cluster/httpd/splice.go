package httpd

// splice moves a section from the connection of another node to this one.
func (w *writer) splice(s *Section) error {
	return w.sendByReading(s, false)
}
