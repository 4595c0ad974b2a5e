package meta

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/aisle-store/aisle/cluster"
)

// readListed reads of a record what a list shows (see Range.Listed) into f, which holds what was read before: strings that
// repeat from record to record are kept, and no others of its fields count.
func readListed(key, value []byte, f *Fields) error {
	fields, _, err := openRecord(key, value)
	if err != nil {
		return err
	}
	*f = Fields{Owner: f.Owner, Sums: f.Sums[:0], Want: f.Want[:0]}
	owner := f.Owner
	f.Owner = ""
	n, rest, err := msgp.ReadMapHeaderBytes(fields)
	for ; n > 0 && err == nil; n-- {
		var name []byte
		if name, rest, err = msgp.ReadMapKeyZC(rest); err == nil {
			rest, err = f.readListed(name, rest, owner)
		}
	}
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind the record", len(rest))
	}
	return err
}

// readListed reads one field, or passes over it.
func (f *Fields) readListed(name, b []byte, owner cluster.AccessKeyID) (rest []byte, err error) {
	switch string(name) {
	case "s":
		f.Size, rest, err = msgp.ReadInt64Bytes(b)
	case "m":
		f.Modified, rest, err = msgp.ReadTimeBytes(b)
	case "e":
		f.ETag, rest, err = msgp.ReadStringBytes(b)
	case "v":
		f.Counter, rest, err = msgp.ReadInt64Bytes(b)
	case "sc":
		f.Class, rest, err = msgp.ReadStringBytes(b)
	case "vn":
		f.Number, rest, err = msgp.ReadUint64Bytes(b)
	case "v0":
		f.Null, rest, err = msgp.ReadBoolBytes(b)
	case "vm":
		f.Marker, rest, err = msgp.ReadBoolBytes(b)
	case "k":
		rest, err = f.readListedSums(b)
	case "kc":
		f.Composite, rest, err = msgp.ReadBoolBytes(b)
	case "kw":
		rest, err = f.readListedWant(b)
	case "o":
		var text []byte
		if text, rest, err = msgp.ReadStringZC(b); err != nil {
			return nil, err
		}
		if f.Owner = owner; string(text) != string(owner) {
			f.Owner = cluster.AccessKeyID(text)
		}
	default:
		rest, err = msgp.Skip(b)
	}
	return rest, err
}

// readListedSums reads checksums into the room that f has for them.
func (f *Fields) readListedSums(b []byte) ([]byte, error) {
	f.Sums = f.Sums[:0]
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var two uint32
		if two, b, err = msgp.ReadArrayHeaderBytes(b); err == nil && two != 2 {
			err = msgp.ArrayError{Wanted: 2, Got: two}
		}
		var name, value []byte
		if err == nil {
			name, b, err = msgp.ReadStringZC(b)
		}
		if err == nil {
			value, b, err = msgp.ReadBytesZC(b)
		}
		if err == nil {
			f.addSum(name, value)
		}
	}
	return b, err
}

// readListedWant reads the types of checksums that an upload is to get, into the room that f has for them.
func (f *Fields) readListedWant(b []byte) ([]byte, error) {
	f.Want = f.Want[:0]
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	for ; n > 0 && err == nil; n-- {
		var name string
		if name, b, err = msgp.ReadStringBytes(b); err == nil {
			f.Want = append(f.Want, cluster.ChecksumType(name))
		}
	}
	return b, err
}

// addSum adds a checksum, in the memory of one that was there before where there is one.
func (f *Fields) addSum(name, value []byte) {
	if len(f.Sums) < cap(f.Sums) {
		f.Sums = f.Sums[:len(f.Sums)+1]
	} else {
		f.Sums = append(f.Sums, Sum{})
	}
	sum := &f.Sums[len(f.Sums)-1]
	if string(sum.Type) != string(name) {
		sum.Type = cluster.ChecksumType(name)
	}
	sum.Value = append(sum.Value[:0], value...)
}
