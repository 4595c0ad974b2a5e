// Package sse encrypts the bytes of objects, and seals the keys with which it did. docs/encryption.md has the format.
//
// Bytes are encrypted by AES-256-GCM in packages of 64 KiB (DARE 2.0), each under a key that was made for them alone, so any
// range is decrypted without the rest. A package that was changed, cut off, or put into another's place is not decrypted.
package sse

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"

	"github.com/minio/sio"
)

// KeySize is the length of every key, in bytes.
const KeySize = 32

// Of a package: its bytes in the clear, and what encryption adds.
const (
	packageSize = 64 << 10
	headerSize  = 16
	overhead    = headerSize + 16
	storedSize  = packageSize + overhead
)

// errAuthentic is all that is told about bytes that cannot be decrypted.
var errAuthentic = errors.New("encrypted bytes are not what was written")

// NewKey returns a key for the bytes of one object or part.
func NewKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails
	return key
}

// Size returns how many bytes so many bytes take when they are encrypted.
func Size(plain int64) int64 {
	return plain + (plain+packageSize-1)/packageSize*overhead
}

// Most returns how many bytes at most take no more than size bytes when they are encrypted.
func Most(size int) int {
	whole, rest := size/storedSize, size%storedSize
	return whole*packageSize + max(rest-overhead, 0)
}

// config is DARE 2.0 with AES-256-GCM alone. Each key encrypts one stream, so the nonce can be the same for all; it lies in
// the clear before each package, and is compared when it is decrypted: otherwise a package, read alone, could be moved.
func config(key []byte, first uint32) sio.Config {
	return sio.Config{
		MinVersion: sio.Version20, MaxVersion: sio.Version20, CipherSuites: []byte{sio.AES_256_GCM},
		Key: key, SequenceNumber: first, Nonce: new([12]byte),
	}
}

// Encrypt returns what r gives, encrypted. No other stream may be encrypted with the key. An error of r is returned as it is,
// except that one which says io.ErrUnexpectedEOF looks like the end: who reads must ask r.
func Encrypt(r io.Reader, key []byte) (io.Reader, error) {
	return sio.EncryptReader(r, config(key, 0))
}

// EncryptBytes is Encrypt for bytes in memory.
func EncryptBytes(plain, key []byte) ([]byte, error) {
	r, err := Encrypt(bytes.NewReader(plain), key)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(int(Size(int64(len(plain)))))
	_, err = out.ReadFrom(r)
	return out.Bytes(), err
}

// Span returns which stored bytes hold a range of the size plain bytes that there are.
func Span(offset, length, size int64) (from, n int64) {
	if length == 0 {
		return 0, 0
	}
	first, last := offset/packageSize, (offset+length-1)/packageSize
	from = first * storedSize
	return from, min((last+1)*storedSize, Size(size)) - from
}

// Decrypter gives a range of plain bytes.
type Decrypter struct {
	in   io.Reader
	skip int   // bytes of the first package before the range
	left int64 // of the range
	buf  []byte
}

// Decrypt returns a range of what was encrypted with a key. next gives the bytes of its Span, run by run, each valid until it
// is called again.
func Decrypt(key []byte, offset, length int64, next func() ([]byte, error)) (*Decrypter, error) {
	c := config(key, uint32(offset/packageSize))
	in, err := sio.DecryptReader(&packages{next: next}, c)
	if err != nil {
		return nil, err
	}
	return &Decrypter{in: in, skip: int(offset % packageSize), left: length, buf: make([]byte, packageSize)}, nil
}

// Next returns the next bytes, authentic, or io.EOF. They are valid until the next call. Errors of the source are returned as
// they are.
func (d *Decrypter) Next() ([]byte, error) {
	if d.left == 0 {
		return nil, io.EOF
	}
	n, err := d.in.Read(d.buf)
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		var damaged sio.Error
		if err == nil || errors.Is(err, io.EOF) || errors.As(err, &damaged) {
			err = errAuthentic
		}
		return nil, err
	}
	if n <= d.skip {
		return nil, errAuthentic
	}
	b := d.buf[d.skip:n]
	d.skip = 0
	if int64(len(b)) > d.left {
		b = b[:d.left]
	}
	d.left -= int64(len(b))
	return b, nil
}

// IsDamage reports whether Next failed because of the bytes, not because they could not be read.
func IsDamage(err error) bool { return errors.Is(err, errAuthentic) }

// packages gives the bytes of runs, and refuses packages with another nonce than the one that they were written with.
type packages struct {
	next func() ([]byte, error)
	run  []byte
	at   int // in the package
}

// Read implements io.Reader.
func (p *packages) Read(b []byte) (int, error) {
	for len(p.run) == 0 {
		var err error
		if p.run, err = p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.run[:min(len(p.run), storedSize-p.at)])
	for i := p.at; i < headerSize && i < p.at+n; i++ {
		c := p.run[i-p.at]
		if i == nonceOffset {
			c &^= finalFlag
		}
		if i >= nonceOffset && c != 0 {
			return 0, errAuthentic
		}
	}
	p.run = p.run[n:]
	p.at = (p.at + n) % storedSize
	return n, nil
}

// Where the nonce lies in the header of a package, and the bit of its first byte that says that it is the last one.
const (
	nonceOffset = 4
	finalFlag   = 0x80
)
