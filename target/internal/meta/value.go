package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tinylib/msgp/msgp"
)

// A value is a version byte, msgpack, in records also the inline data, and a CRC-32C over the key and all of it, so that a
// value that was changed, cut, or that stands under another key is found out.

const (
	valueVersion = 1
	sumSize      = 4
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

// appendRecord appends the value of a record: inline data lies behind the msgpack, so that who does not need it does not
// copy it.
func appendRecord(b, key []byte, f *Fields) ([]byte, error) {
	start := len(b)
	b, err := f.MarshalMsg(append(b, valueVersion))
	if err != nil {
		return nil, err
	}
	return sealValue(key, append(b, f.Inline...), start), nil
}

// readRecord reads what appendRecord wrote, without the inline data when it is not wanted.
func readRecord(key, value []byte, f *Fields, data bool) error {
	body, err := openValue(key, value)
	if err != nil {
		return err
	}
	rest, err := f.UnmarshalMsg(body)
	switch {
	case err != nil || len(rest) == 0:
		return err
	case int64(len(rest)) != f.Size:
		return fmt.Errorf("%d bytes of data behind a record of size %d", len(rest), f.Size)
	case data:
		f.Inline = bytes.Clone(rest)
	}
	return nil
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
