package meta

import (
	"bytes"
	"context"
	"iter"

	"github.com/aisle-store/aisle/target/internal/disk"
)

// Checked is an entry of the index that Verify has read.
type Checked struct {
	Ref    Ref   // of the record; of a manifest, that of the record it belongs to
	Pieces []int // of the record: 0 is its own place, n that of its part n-1
	Places []disk.Place
	Err    error // the value does not have its checksum, or makes no sense: cluster.KindCorrupt
}

// CheckedPage is a run of entries.
type CheckedPage struct {
	Entries []Checked // those that name places, and those that cannot be believed
	Count   int       // of all entries that were read
	Bytes   int64     // of their keys and values
	Next    []byte    // where to go on; nil at the end
}

// Verify reads up to limit entries, of whatever kind, from a key of the index on (nil: from the first), and checks each. With an
// error, which is cluster.KindCorrupt when a block of the index cannot be read, the page has what was read before it.
func (x *Index) Verify(ctx context.Context, from []byte, limit int) (*CheckedPage, error) {
	const op = "meta.Verify"
	page := &CheckedPage{}
	err := x.walk(ctx, op, from, nil, func(key, value []byte) (bool, error) {
		page.Count++
		page.Bytes += int64(len(key) + len(value))
		entry, err := check(key, value)
		if err != nil {
			entry = Checked{Ref: entry.Ref, Err: x.corrupt(op, key, err)}
		}
		if err != nil || len(entry.Places) > 0 {
			page.Entries = append(page.Entries, entry)
		}
		if page.Count < limit {
			return true, nil
		}
		page.Next = append(bytes.Clone(key), 0)
		return false, nil
	})
	return page, err
}

// check reads one entry.
func check(key, value []byte) (entry Checked, err error) {
	switch Kind(key[0]) {
	case inDoubt, note:
		_, err = openValue(key, value)
		return entry, err
	case slotMark, accessTime:
		_, err = readNumber(key, value)
		return entry, err
	}
	if entry.Ref, err = parseKey(key); err != nil {
		return entry, err
	}
	_, err = places(key, value, func(piece int, p disk.Place) bool {
		entry.Pieces, entry.Places = append(entry.Pieces, piece), append(entry.Places, p)
		return true
	})
	if entry.Ref.Kind == manifestKind {
		entry.Ref.Kind = Current
	}
	return entry, err
}

// SetNote keeps a few bytes under a name, which are the caller's to interpret.
func (b *Batch) SetNote(name string, text []byte) {
	b.key = noteKey(name)
	b.value = sealValue(b.key, append(append(b.value[:0], valueVersion), text...), 0)
	b.note(b.b.Set(b.key, b.value, nil))
}

// DeleteNote removes what SetNote kept.
func (b *Batch) DeleteNote(name string) {
	b.key = noteKey(name)
	b.note(b.b.Delete(b.key, nil))
}

// Notes yields the names under which notes are kept that begin with a prefix.
func (x *Index) Notes(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		lower := noteKey(prefix)
		err := x.walk(ctx, "meta.Notes", lower, afterPrefix(bytes.Clone(lower)), func(key, _ []byte) (bool, error) {
			return yield(string(key[1:]), nil), nil
		})
		if err != nil {
			yield("", err)
		}
	}
}

// Note returns what SetNote kept, or nil.
func (x *Index) Note(name string) (text []byte, err error) {
	_, err = x.value("meta.Note", noteKey(name), func(key, value []byte) error {
		body, err := openValue(key, value)
		text = bytes.Clone(body)
		return err
	})
	return text, err
}

func noteKey(name string) []byte { return append([]byte{byte(note)}, name...) }
