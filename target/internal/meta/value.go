package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tinylib/msgp/msgp"
)

// A value is a version byte, msgpack, and a CRC-32C over the key and all of it, so that a value that was changed, cut, or that
// stands under another key is found out. A record with inline data has its length and checksum in front of the msgpack and
// the data behind it: who does not need the data, above all lists, neither reads nor checks them.

const (
	valueVersion = 1
	dataVersion  = 2 // with inline data
	sumSize      = 4
	dataHead     = 1 + 4 + sumSize // of a value with inline data: version, length, checksum
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errValue   = errors.New("the value does not have its checksum")
)

// sealValue appends the checksum to a value that begins at start of b.
func sealValue(key, b []byte, start int) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[start:])
	return binary.BigEndian.AppendUint32(b, sum)
}

// openValue checks a value and returns what is behind the version byte. It belongs to the value.
func openValue(key, value []byte) ([]byte, error) {
	if len(value) < 1+sumSize {
		return nil, fmt.Errorf("a value of %d bytes", len(value))
	}
	body := value[:len(value)-sumSize]
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body) != binary.BigEndian.Uint32(value[len(body):]) {
		return nil, errValue
	}
	if body[0] != valueVersion {
		return nil, fmt.Errorf("the value has version %d", body[0])
	}
	return body[1:], nil
}

// appendValue appends the value of what v holds.
func appendValue(b, key []byte, v msgp.Marshaler) ([]byte, error) {
	start := len(b)
	b, err := v.MarshalMsg(append(b, valueVersion))
	if err != nil {
		return nil, err
	}
	return sealValue(key, b, start), nil
}

// readValue checks a value and reads it into v.
func readValue(key, value []byte, v msgp.Unmarshaler) error {
	body, err := openValue(key, value)
	if err != nil {
		return err
	}
	rest, err := v.UnmarshalMsg(body)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind the value", len(rest))
	}
	return err
}

// appendRecord appends the value of a record.
func appendRecord(b, key []byte, f *Fields) ([]byte, error) {
	if len(f.Inline) == 0 {
		return appendValue(b, key, f)
	}
	start := len(b)
	b = binary.BigEndian.AppendUint32(append(b, dataVersion), uint32(len(f.Inline)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(f.Inline, castagnoli))
	b, err := f.MarshalMsg(b)
	if err != nil {
		return nil, err
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, b[start:])
	return binary.BigEndian.AppendUint32(append(b, f.Inline...), sum), nil
}

// inlineData are the bytes behind a record's msgpack, not yet checked. They belong to the value.
type inlineData struct {
	bytes []byte
	sum   uint32
}

// openRecord checks the value of a record, except for its inline data, and returns its msgpack. It belongs to the value.
func openRecord(key, value []byte) (fields []byte, data inlineData, err error) {
	if len(value) == 0 || value[0] != dataVersion {
		fields, err = openValue(key, value)
		return fields, data, err
	}
	end := len(value) - sumSize
	if end < dataHead {
		return nil, data, fmt.Errorf("a value of %d bytes", len(value))
	}
	n := int64(binary.BigEndian.Uint32(value[1:]))
	if n == 0 || n > int64(end-dataHead) {
		return nil, data, fmt.Errorf("a value of %d bytes with %d bytes of data", len(value), n)
	}
	head := value[:end-int(n)]
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, head) != binary.BigEndian.Uint32(value[end:]) {
		return nil, data, errValue
	}
	data = inlineData{bytes: value[len(head):end], sum: binary.BigEndian.Uint32(value[5:])}
	return head[dataHead:], data, nil
}

// check reports whether the data have their checksum.
func (d inlineData) check() error {
	if crc32.Checksum(d.bytes, castagnoli) != d.sum {
		return errValue
	}
	return nil
}

// readRecord reads what appendRecord wrote, except for the inline data, which it returns unchecked.
func readRecord(key, value []byte, f *Fields) (inlineData, error) {
	fields, data, err := openRecord(key, value)
	if err != nil {
		return data, err
	}
	rest, err := f.UnmarshalMsg(fields)
	switch {
	case err != nil:
		return data, err
	case len(rest) > 0:
		return data, fmt.Errorf("%d bytes behind the record", len(rest))
	case data.bytes != nil && int64(len(data.bytes)) != f.Stored():
		return data, fmt.Errorf("%d bytes of data behind a record of size %d", len(data.bytes), f.Size)
	}
	return data, nil
}

// readWhole is readRecord with the inline data.
func readWhole(key, value []byte, f *Fields) error {
	data, err := readRecord(key, value, f)
	if err == nil && data.bytes != nil {
		err = data.check()
		f.Inline = bytes.Clone(data.bytes)
	}
	return err
}

// appendNumber appends a value that is one number.
func appendNumber(b, key []byte, n uint64) []byte {
	start := len(b)
	return sealValue(key, binary.BigEndian.AppendUint64(append(b, valueVersion), n), start)
}

// readNumber reads what appendNumber wrote.
func readNumber(key, value []byte) (uint64, error) {
	body, err := openValue(key, value)
	if err != nil {
		return 0, err
	}
	if len(body) != 8 {
		return 0, fmt.Errorf("a number of %d bytes", len(body))
	}
	return binary.BigEndian.Uint64(body), nil
}

// EncodeFooter returns the record, with its key, as it is kept beside its data for salvage.
func EncodeFooter(r *Record) ([]byte, error) {
	f := footer{Key: r.appendKey(nil), Fields: r.Fields}
	return appendValue(nil, nil, &f)
}

// DecodeFooter reads what EncodeFooter wrote.
func DecodeFooter(b []byte) (*Record, error) {
	var f footer
	if err := readValue(nil, b, &f); err != nil {
		return nil, err
	}
	ref, err := parseKey(f.Key)
	if err != nil {
		return nil, err
	}
	return &Record{Ref: ref, Fields: f.Fields}, nil
}
