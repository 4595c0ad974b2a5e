package api

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/aisle-store/aisle/cluster"
)

// AppendMsgPack appends the MessagePack form of a page, the one that AIStore's SDK asks for: field names of entries are
// single letters, and empty fields are left out.
func (r *ListResult) AppendMsgPack(b []byte) []byte {
	b = append(b, 0x84)
	b = appendString(appendString(b, "UUID"), r.UUID)
	b = appendString(appendString(b, "ContinuationToken"), r.Token)
	b = appendString(b, "Entries")
	b = append(b, 0xdd)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Entries)))
	for i := range r.Entries {
		b = r.Entries[i].appendMsgPack(b)
	}
	return appendInt(appendString(b, "Flags"), int64(r.Flags))
}

func (e *ListEntry) appendMsgPack(b []byte) []byte {
	at := len(b)
	b = append(b, 0x80)
	text := func(name, value string) {
		if value != "" {
			b = appendString(appendString(b, name), value)
			b[at]++
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			b = appendInt(appendString(b, name), value)
			b[at]++
		}
	}
	text("n", e.Name)
	text("cs", e.Checksum)
	text("a", e.Atime)
	text("v", e.Version)
	text("t", e.Location)
	text("m", e.Custom)
	number("s", e.Size)
	number("c", int64(e.Copies))
	number("f", int64(e.Flags))
	return b
}

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendInt(b []byte, n int64) []byte {
	if n >= 0 && n < 128 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
}

// ParseMsgPack reads a page in MessagePack. Unknown fields are skipped.
func (r *ListResult) ParseMsgPack(b []byte) error {
	const op = "cluster/api.ListResult.ParseMsgPack"
	p := unpacker{rest: b}
	fields := p.header(0x80, 0xde, 0xdf)
	for range fields {
		switch p.text() {
		case "UUID":
			r.UUID = p.text()
		case "ContinuationToken":
			r.Token = p.text()
		case "Entries":
			r.Entries = p.entries()
		case "Flags":
			r.Flags = uint32(p.number())
		default:
			p.skip(0)
		}
		if p.err != nil {
			break
		}
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = errors.New("data follow the page")
	}
	if p.err != nil {
		return cluster.E(op, "", cluster.KindOther, p.err)
	}
	return nil
}

// unpacker reads MessagePack from a slice; after the first error every read returns nothing.
type unpacker struct {
	rest []byte
	err  error
}

var errMsgPack = errors.New("not the MessagePack form of a list")

func (p *unpacker) take(n int) []byte {
	if p.err != nil || n < 0 || n > len(p.rest) {
		if p.err == nil {
			p.err = errMsgPack
		}
		p.rest = nil
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *unpacker) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uint reads an unsigned number of n bytes.
func (p *unpacker) uint(n int) uint64 {
	var v uint64
	for _, c := range p.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// header reads the head of a map or an array and returns how many items follow; nil is an empty one.
func (p *unpacker) header(fix, tag16, tag32 byte) int {
	switch c := p.byte(); {
	case p.err != nil || c == 0xc0:
		return 0
	case c&0xf0 == fix:
		return int(c & 0x0f)
	case c == tag16:
		return int(p.uint(2))
	case c == tag32:
		return int(p.uint(4))
	}
	p.err = errMsgPack
	return 0
}

func (p *unpacker) text() string {
	switch c := p.byte(); {
	case p.err != nil || c == 0xc0:
		return ""
	case c&0xe0 == 0xa0:
		return string(p.take(int(c & 0x1f)))
	case c == 0xd9 || c == 0xc4:
		return string(p.take(int(p.uint(1))))
	case c == 0xda || c == 0xc5:
		return string(p.take(int(p.uint(2))))
	case c == 0xdb || c == 0xc6:
		return string(p.take(int(p.uint(4))))
	}
	p.err = errMsgPack
	return ""
}

func (p *unpacker) number() int64 {
	switch c := p.byte(); {
	case p.err != nil:
		return 0
	case c < 0x80:
		return int64(c)
	case c >= 0xe0:
		return int64(int8(c))
	case c >= 0xcc && c <= 0xcf:
		return int64(p.uint(1 << (c - 0xcc)))
	case c >= 0xd0 && c <= 0xd3:
		n := 1 << (c - 0xd0)
		shift := 64 - 8*n
		return int64(p.uint(n)<<shift) >> shift
	}
	p.err = errMsgPack
	return 0
}

func (p *unpacker) entries() []ListEntry {
	count := p.header(0x90, 0xdc, 0xdd)
	if count > len(p.rest) { // each entry has one byte at least
		p.err = errMsgPack
		return nil
	}
	entries := make([]ListEntry, 0, count)
	for range count {
		e := p.entry()
		if p.err != nil {
			return nil
		}
		entries = append(entries, e)
	}
	return entries
}

func (p *unpacker) entry() ListEntry {
	var e ListEntry
	for range p.header(0x80, 0xde, 0xdf) {
		switch p.text() {
		case "n":
			e.Name = p.text()
		case "cs":
			e.Checksum = p.text()
		case "a":
			e.Atime = p.text()
		case "v":
			e.Version = p.text()
		case "t":
			e.Location = p.text()
		case "m":
			e.Custom = p.text()
		case "s":
			e.Size = p.number()
		case "c":
			e.Copies = int16(p.number())
		case "f":
			e.Flags = EntryFlags(p.number())
		default:
			p.skip(0)
		}
		if p.err != nil {
			break
		}
	}
	return e
}

// maxDepth bounds how deep unknown values may be nested.
const maxDepth = 32

// skip passes over one value of any type.
func (p *unpacker) skip(depth int) {
	if p.err != nil || len(p.rest) == 0 || depth > maxDepth {
		p.take(-1)
		return
	}
	items := 0
	switch c := p.rest[0]; {
	case c&0xf0 == 0x80 || c == 0xde || c == 0xdf:
		items = 2 * p.header(0x80, 0xde, 0xdf)
	case c&0xf0 == 0x90 || c == 0xdc || c == 0xdd:
		items = p.header(0x90, 0xdc, 0xdd)
	case c&0xe0 == 0xa0 || c >= 0xd9 && c <= 0xdb || c >= 0xc4 && c <= 0xc6:
		p.text()
	case c == 0xc0 || c == 0xc2 || c == 0xc3:
		p.take(1)
	case c == 0xca:
		p.take(5)
	case c == 0xcb:
		p.take(9)
	default:
		p.number()
	}
	for range items {
		p.skip(depth + 1)
		if p.err != nil {
			return
		}
	}
}
