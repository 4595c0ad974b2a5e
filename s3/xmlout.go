package s3

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Namespace is the XML namespace of S3's documents.
const Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// xmlWriter appends an XML document to a buffer. It writes what AWS writes: no indentation, no empty-element tags.
type xmlWriter struct {
	b      []byte
	second int64    // since 1970, of the time that was written last
	date   [19]byte // its text
}

// newXML begins a document.
func newXML(capacity int) *xmlWriter {
	w := &xmlWriter{b: make([]byte, 0, capacity), second: math.MinInt64}
	w.b = append(w.b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"...)
	return w
}

func (w *xmlWriter) bytes() []byte { return w.b }

// root opens the document's element in S3's namespace.
func (w *xmlWriter) root(name string) {
	w.b = append(w.b, '<')
	w.b = append(w.b, name...)
	w.b = append(w.b, ` xmlns="`+Namespace+`">`...)
}

func (w *xmlWriter) open(name string) {
	w.b = append(w.b, '<')
	w.b = append(w.b, name...)
	w.b = append(w.b, '>')
}

func (w *xmlWriter) close(name string) {
	w.b = append(w.b, '<', '/')
	w.b = append(w.b, name...)
	w.b = append(w.b, '>')
}

// text writes <name>escaped value</name>.
func (w *xmlWriter) text(name, value string) {
	w.open(name)
	w.b = appendEscaped(w.b, value)
	w.close(name)
}

// optional writes the element only when the value is not empty.
func (w *xmlWriter) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *xmlWriter) number(name string, n int64) {
	w.open(name)
	w.b = strconv.AppendInt(w.b, n, 10)
	w.close(name)
}

func (w *xmlWriter) boolean(name string, v bool) {
	w.open(name)
	w.b = strconv.AppendBool(w.b, v)
	w.close(name)
}

// etag writes <name>&quot;etag&quot;</name>.
func (w *xmlWriter) etag(name, etag string) {
	w.open(name)
	w.b = append(w.b, "&quot;"...)
	w.b = appendEscaped(w.b, etag)
	w.b = append(w.b, "&quot;"...)
	w.close(name)
}

// time writes the element in S3's form, with milliseconds. Neighbours in a list were often written in the same second.
func (w *xmlWriter) time(name string, t time.Time) {
	w.open(name)
	if second := t.Unix(); second != w.second {
		copy(w.date[:], t.UTC().AppendFormat(w.date[:0], timeXML[:len(w.date)]))
		w.second = second
	}
	ms := t.Nanosecond() / int(time.Millisecond)
	w.b = append(w.b, w.date[:]...)
	w.b = append(w.b, '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z')
	w.close(name)
}

// timeXML is the form of times in XML documents.
const timeXML = "2006-01-02T15:04:05.000Z"

// FormatTime returns a time in the form of S3's XML documents.
func FormatTime(t time.Time) string { return t.UTC().Format(timeXML) }

const hexLower = "0123456789abcdef"

// appendEscaped appends text with XML's special characters escaped. Characters that XML 1.0 cannot hold are written as
// numeric references, as AWS does: a client that may meet such keys asks for encoding-type=url.
func appendEscaped(b []byte, s string) []byte {
	if isPlain(s) {
		return append(b, s...)
	}
	last := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[last:i]...), "\uFFFD"...)
				last = i + 1
			} else if r == 0xFFFE || r == 0xFFFF {
				b = append(append(b, s[last:i]...), "&#xFFF"...)
				b = append(b, "EF"[r&1], ';')
				last = i + size
			}
			i += size
			continue
		}
		i++
		esc := ""
		switch c {
		case '&':
			esc = "&amp;"
		case '<':
			esc = "&lt;"
		case '>':
			esc = "&gt;"
		case '"':
			esc = "&quot;"
		case '\r':
			esc = "&#13;"
		case '\t', '\n':
			continue
		default:
			if c >= 0x20 {
				continue
			}
		}
		b = append(b, s[last:i-1]...)
		last = i
		if esc != "" {
			b = append(b, esc...)
			continue
		}
		b = append(b, '&', '#', 'x')
		if c >= 0x10 {
			b = append(b, hexLower[c>>4])
		}
		b = append(b, hexLower[c&15], ';')
	}
	return append(b, s[last:]...)
}

// plainBytes are those that appendEscaped leaves as they are, whatever stands beside them.
var plainBytes = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '&' && c != '<' && c != '>' && c != '"'
	}
	return plain
}()

func isPlain(s string) bool {
	for i := range len(s) {
		if !plainBytes[s[i]] {
			return false
		}
	}
	return true
}
