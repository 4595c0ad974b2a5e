package s3

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is one element of a small XML document.
type node struct {
	name     string // without namespace prefix
	text     string // its own character data
	children []node
}

const maxXMLDepth = 16

// parseXML reads an XML document of at most limit elements. It takes what S3's requests are made of: elements, text,
// CDATA, comments, the XML declaration and the predefined entities. A document type is refused, so no entity can be
// declared. Unlike encoding/xml it accepts numeric references to control characters, because keys may hold them and
// AWS writes and reads them so. Attributes are skipped.
func parseXML(doc []byte, limit int) (*node, error) {
	p := &xmlParser{s: strings.TrimPrefix(string(doc), "\uFEFF"), limit: limit}
	root, ok := p.document()
	if !ok {
		return nil, malformedXML("s3.parseXML")
	}
	return root, nil
}

func malformedXML(op string) error { return NewFault(op, MalformedXML, "") }

// xmlParser reads s from i on.
type xmlParser struct {
	s     string
	i     int
	limit int // of elements still allowed
}

// document reads the one root element and what may stand around it.
func (p *xmlParser) document() (*node, bool) {
	if !utf8.ValidString(p.s) || !p.misc() {
		return nil, false
	}
	var root node
	if !p.element(&root, 0) || !p.misc() {
		return nil, false
	}
	return &root, p.i == len(p.s)
}

// misc skips blanks, comments and processing instructions outside of the root.
func (p *xmlParser) misc() bool {
	for {
		p.blanks()
		switch {
		case p.has("<!--"):
			if !p.skipPast("-->") {
				return false
			}
		case p.has("<?"):
			if !p.skipPast("?>") {
				return false
			}
		default:
			return true
		}
	}
}

func (p *xmlParser) has(prefix string) bool { return strings.HasPrefix(p.s[p.i:], prefix) }

func (p *xmlParser) blanks() {
	for p.i < len(p.s) && isBlank(p.s[p.i]) {
		p.i++
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func (p *xmlParser) skipPast(end string) bool {
	n := strings.Index(p.s[p.i:], end)
	if n < 0 {
		return false
	}
	p.i += n + len(end)
	return true
}

// element reads one element with all that is in it.
func (p *xmlParser) element(n *node, depth int) bool {
	if depth >= maxXMLDepth || p.limit <= 0 || !p.has("<") {
		return false
	}
	p.limit--
	p.i++
	full, ok := p.tagName()
	if !ok {
		return false
	}
	_, local, found := strings.Cut(full, ":")
	if !found {
		local = full
	}
	n.name = local
	empty, ok := p.attributes()
	if !ok || empty {
		return ok
	}
	return p.content(n, full, depth)
}

// tagName reads the name of a tag.
func (p *xmlParser) tagName() (string, bool) {
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		if isBlank(c) || c == '>' || c == '/' {
			break
		}
		if c == '<' || c == '&' || c == '=' || c == '"' || c == '\'' || c == '!' || c == '?' {
			return "", false
		}
		p.i++
	}
	return p.s[start:p.i], p.i > start
}

// attributes skips what stands in a start tag behind its name, and reports whether it ends with "/>".
func (p *xmlParser) attributes() (empty, ok bool) {
	for {
		p.blanks()
		switch {
		case p.has("/>"):
			p.i += 2
			return true, true
		case p.has(">"):
			p.i++
			return false, true
		}
		if _, ok := p.attributeName(); !ok {
			return false, false
		}
		p.blanks()
		if !p.has("=") {
			return false, false
		}
		p.i++
		p.blanks()
		if p.i >= len(p.s) || p.s[p.i] != '"' && p.s[p.i] != '\'' {
			return false, false
		}
		quote := p.s[p.i : p.i+1]
		p.i++
		value := p.i
		if !p.skipPast(quote) || strings.Contains(p.s[value:p.i-1], "<") {
			return false, false
		}
	}
}

func (p *xmlParser) attributeName() (string, bool) {
	start := p.i
	for p.i < len(p.s) && !isBlank(p.s[p.i]) && !strings.ContainsRune("=<>/\"'&", rune(p.s[p.i])) {
		p.i++
	}
	return p.s[start:p.i], p.i > start
}

// content reads text and children up to the end tag of the element.
func (p *xmlParser) content(n *node, full string, depth int) bool {
	var text strings.Builder
	for p.i < len(p.s) {
		switch {
		case p.has("</"):
			p.i += 2
			name, ok := p.tagName()
			p.blanks()
			if !ok || name != full || !p.has(">") {
				return false
			}
			p.i++
			n.text = text.String()
			return true
		case p.has("<!--"):
			if !p.skipPast("-->") {
				return false
			}
		case p.has("<![CDATA["):
			p.i += len("<![CDATA[")
			start := p.i
			if !p.skipPast("]]>") {
				return false
			}
			text.WriteString(p.s[start : p.i-3])
		case p.has("<?"):
			if !p.skipPast("?>") {
				return false
			}
		case p.has("<"):
			var child node
			if !p.element(&child, depth+1) {
				return false
			}
			n.children = append(n.children, child)
		default:
			if !p.characters(&text) {
				return false
			}
		}
	}
	return false
}

// characters reads text up to the next '<'. Line ends become '\n', as XML wants.
func (p *xmlParser) characters(text *strings.Builder) bool {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '<':
			return true
		case c == '&':
			r, ok := p.reference()
			if !ok {
				return false
			}
			text.WriteRune(r)
		case c == '\r':
			p.i++
			if !p.has("\n") {
				text.WriteByte('\n')
			}
		case c < 0x20 && c != '\t' && c != '\n':
			return false
		default:
			text.WriteByte(c)
			p.i++
		}
	}
	return true
}

var entities = map[string]rune{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\''}

// reference reads &name; &#decimal; or &#xhex;.
func (p *xmlParser) reference() (rune, bool) {
	name, _, ok := strings.Cut(p.s[p.i+1:min(len(p.s), p.i+16)], ";")
	if !ok {
		return 0, false
	}
	p.i += len(name) + 2
	digits, numeric := strings.CutPrefix(name, "#")
	if !numeric {
		r, ok := entities[name]
		return r, ok
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, false
	}
	return rune(n), true
}
