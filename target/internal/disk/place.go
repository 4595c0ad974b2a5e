package disk

import "fmt"

//go:generate go tool msgp -file place.go -o place_gen.go -tests=false

// FileID names a segment or a blob of one mountpath for ever: the number of the boot that made it in the upper 24 bits, a
// sequence within that boot in the lower 40.
type FileID uint64

const sequenceBits = 40

func makeFileID(boot uint32, sequence uint64) FileID {
	return FileID(uint64(boot)<<sequenceBits | sequence)
}

// Boot returns the number of the boot that made the file.
func (id FileID) Boot() uint32 { return uint32(id >> sequenceBits) }

// Sequence returns the number of the file within its boot.
func (id FileID) Sequence() uint64 { return uint64(id) & (1<<sequenceBits - 1) }

// String returns boot and sequence in hexadecimal, as file names have them.
func (id FileID) String() string { return fmt.Sprintf("%06x-%010x", id.Boot(), id.Sequence()) }

// PlaceKind says in what sort of file bytes lie. The numbers are on disk: new ones go at the end.
type PlaceKind uint8

const (
	Nowhere PlaceKind = iota // no bytes here: the object is empty, or its data is in its record
	Extent                   // a range of a segment
	Blob                     // a file of its own
)

// String returns "nowhere", "extent" or "blob".
func (k PlaceKind) String() string {
	switch k {
	case Nowhere:
		return "nowhere"
	case Extent:
		return "extent"
	case Blob:
		return "blob"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

//msgp:tuple Place

// Place says where the bytes of an object or part lie on one mountpath. The zero Place is Nowhere. Places are comparable,
// immutable and never reused.
type Place struct {
	Kind   PlaceKind
	File   FileID
	Offset int64  // of the header in the file; a multiple of 4 KiB
	Length int64  // of the data
	Span   int64  // of everything, header and tail included, rounded up to 4 KiB
	Sum    uint32 // CRC-32C of the table of the blocks' checksums: binds the record to these bytes and no others
}

// Lost returns the place of bytes that are known and are nowhere: to open it is ErrGone. No file has the id 0.
func Lost(p Place) Place { return Place{Kind: Blob, Length: p.Length, Sum: p.Sum} }

// IsLost reports whether p is what Lost returns.
func (p Place) IsLost() bool { return p.Kind == Blob && p.File == 0 }

// String returns the place for logs.
func (p Place) String() string {
	if p.Kind == Nowhere {
		return "nowhere"
	}
	return fmt.Sprintf("%s %s@%d+%d", p.Kind, p.File, p.Offset, p.Length)
}
