package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A body is what an extent and a blob have in common: a header, the data, the table of its blocks' checksums, the record.
// docs/ondisk.md has the bytes.

const (
	headerSize    = 64
	headerVersion = 1
	blobDataStart = 4096 // the header of a blob has a page of its own, so that its data is aligned
	tableEntry    = 4
)

var (
	magic      = [8]byte{'A', 'I', 'S', 'L', 'E', 'b', 'd', 'y'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errNoHeader = errors.New("no header: nothing was ever sealed here, or it was punched out")
)

// header is the first 64 bytes of a body.
type header struct {
	kind         PlaceKind
	file         FileID
	offset       int64
	length       int64
	recordLength uint32
	tableSum     uint32
	recordSum    uint32
}

// append writes the header at the end of b.
func (h *header) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic[:]...)
	b = binary.BigEndian.AppendUint16(b, headerVersion)
	b = append(b, byte(h.kind), 0)
	b = binary.BigEndian.AppendUint32(b, h.recordLength)
	b = binary.BigEndian.AppendUint64(b, uint64(h.file))
	b = binary.BigEndian.AppendUint64(b, uint64(h.offset))
	b = binary.BigEndian.AppendUint64(b, uint64(h.length))
	b = binary.BigEndian.AppendUint32(b, h.tableSum)
	b = binary.BigEndian.AppendUint32(b, h.recordSum)
	b = append(b, make([]byte, 12)...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseHeader reads and checks the first 64 bytes of a body. errNoHeader means that there is none.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, fmt.Errorf("a header of %d bytes", len(b))
	}
	b = b[:headerSize]
	if [8]byte(b) != magic {
		return header{}, errNoHeader
	}
	if got, want := crc32.Checksum(b[:60], castagnoli), binary.BigEndian.Uint32(b[60:]); got != want {
		return header{}, fmt.Errorf("the header has checksum %08x, not %08x", got, want)
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != headerVersion {
		return header{}, fmt.Errorf("the header has version %d", v)
	}
	h := header{
		kind:         PlaceKind(b[10]),
		recordLength: binary.BigEndian.Uint32(b[12:]),
		file:         FileID(binary.BigEndian.Uint64(b[16:])),
		offset:       int64(binary.BigEndian.Uint64(b[24:])),
		length:       int64(binary.BigEndian.Uint64(b[32:])),
		tableSum:     binary.BigEndian.Uint32(b[40:]),
		recordSum:    binary.BigEndian.Uint32(b[44:]),
	}
	const huge = 1 << 50
	if h.kind != Extent && h.kind != Blob || h.length < 0 || h.length > huge || h.offset < 0 || h.offset > huge {
		return header{}, fmt.Errorf("the header makes no sense: %v", h)
	}
	return h, nil
}

// place returns the place that the header describes.
func (h *header) place() Place {
	return Place{Kind: h.kind, File: h.file, Offset: h.offset, Length: h.length, Span: spanOf(h.kind, h.length, int64(h.recordLength)), Sum: h.tableSum}
}

// dataStart returns where the data of a kind begins, from the start of the body.
func dataStart(kind PlaceKind) int64 {
	if kind == Blob {
		return blobDataStart
	}
	return headerSize
}

// blocksOf returns how many blocks data of a length has.
func blocksOf(length int64) int64 { return (length + BlockSize - 1) / BlockSize }

// bodySize returns the bytes of a body, without padding.
func bodySize(kind PlaceKind, length, recordLength int64) int64 {
	return dataStart(kind) + length + tableEntry*blocksOf(length) + recordLength
}

// spanOf returns the bytes that a body occupies.
func spanOf(kind PlaceKind, length, recordLength int64) int64 {
	return alignUp(bodySize(kind, length, recordLength))
}

func alignUp(n int64) int64 { return (n + Alignment - 1) &^ (Alignment - 1) }

// blockSums computes the checksum of each block of data that comes in pieces.
type blockSums struct {
	done   []uint32
	sum    uint32
	filled int // bytes of the current block
}

func (s *blockSums) add(p []byte) {
	for len(p) > 0 {
		n := min(len(p), BlockSize-s.filled)
		s.sum = crc32.Update(s.sum, castagnoli, p[:n])
		s.filled += n
		p = p[n:]
		if s.filled == BlockSize {
			s.finish()
		}
	}
}

func (s *blockSums) finish() {
	s.done = append(s.done, s.sum)
	s.sum, s.filled = 0, 0
}

// tail ends the data and returns table and record as they follow it, with the fields of the header that they give.
func (s *blockSums) tail(h *header, record []byte) []byte {
	if s.filled > 0 {
		s.finish()
	}
	b := make([]byte, 0, tableEntry*len(s.done)+len(record))
	for _, sum := range s.done {
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	h.tableSum = crc32.Checksum(b, castagnoli)
	h.recordSum = crc32.Checksum(record, castagnoli)
	h.recordLength = uint32(len(record))
	return append(b, record...)
}
