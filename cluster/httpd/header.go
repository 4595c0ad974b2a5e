package httpd

import (
	"iter"
	"strings"
)

// Field is one header field: a name as it was sent, and its value without surrounding blanks.
type Field struct{ Name, Value string }

// Header is an ordered list of header fields. Names compare without case; order and spelling are kept as received. The
// zero Header is empty and ready to use.
type Header struct{ fields []Field }

// MakeHeader returns a header of names and values in turn, for tests and outgoing requests.
func MakeHeader(pairs ...string) Header {
	var h Header
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// Get returns the value of the first field of that name, or "".
func (h *Header) Get(name string) string {
	v, _ := h.Lookup(name)
	return v
}

// Lookup returns the value of the first field of that name, and whether there is one.
func (h *Header) Lookup(name string) (string, bool) {
	for i := range h.fields {
		if equalFold(h.fields[i].Name, name) {
			return h.fields[i].Value, true
		}
	}
	return "", false
}

// Has reports whether there is a field of that name.
func (h *Header) Has(name string) bool {
	_, ok := h.Lookup(name)
	return ok
}

// Values returns the values of all fields of that name, in order.
func (h *Header) Values(name string) []string {
	var values []string
	for i := range h.fields {
		if equalFold(h.fields[i].Name, name) {
			values = append(values, h.fields[i].Value)
		}
	}
	return values
}

// Len returns the number of fields.
func (h *Header) Len() int { return len(h.fields) }

// All ranges over every field in order, names spelled as received.
func (h *Header) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range h.fields {
			if !yield(h.fields[i].Name, h.fields[i].Value) {
				return
			}
		}
	}
}

// Add appends a field.
func (h *Header) Add(name, value string) { h.fields = append(h.fields, Field{name, value}) }

// Set replaces every field of that name by one, or appends it.
func (h *Header) Set(name, value string) {
	for i := range h.fields {
		if equalFold(h.fields[i].Name, name) {
			h.fields[i].Value = value
			h.removeFrom(i+1, name)
			return
		}
	}
	h.Add(name, value)
}

// Del removes every field of that name.
func (h *Header) Del(name string) { h.removeFrom(0, name) }

func (h *Header) removeFrom(start int, name string) {
	kept := h.fields[:start]
	for _, f := range h.fields[start:] {
		if !equalFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// equalFold is strings.EqualFold for header names, with the common answer "of another length" first.
func equalFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
