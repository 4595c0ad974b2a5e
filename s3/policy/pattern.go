package policy

import (
	"strings"
	"unicode/utf8"
)

// Context answers for the condition keys and policy variables of one request. Keys are asked for in lower case.
type Context interface {
	// Lookup returns the values of a key, or nil when the request has none.
	Lookup(key string) []string
}

// piece is a part of a pattern.
type piece struct {
	kind pieceKind
	text string // of a literal; of a variable: its key, in lower case
	or   string // of a variable: the default
	opt  bool   // the variable has a default
}

type pieceKind uint8

const (
	literal  pieceKind = iota
	anyRun             // *
	anyOne             // ?
	variable           // ${key} or ${key, 'default'}
)

// pattern is text with wildcards and policy variables. What a variable stands for is taken as it is, wildcards included.
type pattern struct {
	pieces []piece
	source string
}

// newGlob reads wildcards and no variables.
func newGlob(s string) pattern { return newPattern(s, true, false) }

// newPattern reads a pattern. Without wildcards, * and ? stand for themselves; without variables, so does ${.
func newPattern(s string, wildcards, variables bool) pattern {
	p := pattern{source: s}
	start := 0
	flush := func(end int) {
		if end > start {
			p.pieces = append(p.pieces, piece{kind: literal, text: s[start:end]})
		}
	}
	for i := 0; i < len(s); {
		var found piece
		width := 1
		switch {
		case wildcards && s[i] == '*':
			found.kind = anyRun
		case wildcards && s[i] == '?':
			found.kind = anyOne
		case variables && strings.HasPrefix(s[i:], "${"):
			var ok bool
			if found, width, ok = readVariable(s[i:]); !ok {
				i++
				continue
			}
		default:
			i++
			continue
		}
		flush(i)
		i += width
		start = i
		if n := len(p.pieces); found.kind != anyRun || n == 0 || p.pieces[n-1].kind != anyRun {
			p.pieces = append(p.pieces, found)
		}
	}
	flush(len(s))
	return p
}

// readVariable reads ${…} at the start of s. ${*}, ${?} and ${$} are the characters themselves.
func readVariable(s string) (piece, int, bool) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return piece{}, 0, false
	}
	inner := strings.TrimSpace(s[2:end])
	switch inner {
	case "*", "?", "$":
		return piece{kind: literal, text: inner}, end + 1, true
	}
	name, rest, has := strings.Cut(inner, ",")
	v := piece{kind: variable, text: strings.ToLower(strings.TrimSpace(name))}
	if has {
		rest = strings.TrimSpace(rest)
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
			return piece{}, 0, false
		}
		v.or, v.opt = rest[1:len(rest)-1], true
	}
	return v, end + 1, v.text != ""
}

// variables reports whether the pattern has any.
func (p *pattern) variables() bool {
	for i := range p.pieces {
		if p.pieces[i].kind == variable {
			return true
		}
	}
	return false
}

// wild reports whether the pattern has wildcards.
func (p *pattern) wild() bool {
	for i := range p.pieces {
		if p.pieces[i].kind == anyRun || p.pieces[i].kind == anyOne {
			return true
		}
	}
	return false
}

// value returns what a variable stands for. A key with several values stands for nothing.
func (p *piece) value(ctx Context) (string, bool) {
	if p.kind == literal {
		return p.text, true
	}
	if ctx != nil {
		if values := ctx.Lookup(p.text); len(values) == 1 {
			return values[0], true
		}
	}
	return p.or, p.opt
}

// match reports whether the pattern fits the whole of s. A variable that stands for nothing fits nothing. After a run, only
// the last one is ever extended: what stood before it has been found at the first place where it fits.
func (p *pattern) match(s string, ctx Context) bool {
	at, i := 0, 0              // in s, in pieces
	backAt, backPiece := 0, -1 // where the last run began to be extended
	for {
		if i == len(p.pieces) {
			if at == len(s) {
				return true
			}
		} else if next := &p.pieces[i]; next.kind == anyRun {
			i++
			backAt, backPiece = at, i
			continue
		} else if n, ok := next.width(s[at:], ctx); ok {
			at, i = at+n, i+1
			continue
		}
		if backPiece < 0 || backAt >= len(s) {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[backAt:])
		backAt += n
		at, i = backAt, backPiece
	}
}

// width returns how much of the beginning of s a piece takes.
func (p *piece) width(s string, ctx Context) (int, bool) {
	if p.kind == anyOne {
		_, n := utf8.DecodeRuneInString(s)
		return n, n > 0
	}
	text, ok := p.value(ctx)
	return len(text), ok && strings.HasPrefix(s, text)
}

// expand returns a pattern without wildcards as text.
func (p *pattern) expand(ctx Context) (string, bool) {
	if len(p.pieces) == 1 && p.pieces[0].kind == literal {
		return p.pieces[0].text, true
	}
	var b strings.Builder
	for i := range p.pieces {
		text, ok := p.pieces[i].value(ctx)
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}
