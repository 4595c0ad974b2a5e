package store

import (
	"io"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/target/internal/meta"
	"github.com/aisle-store/aisle/target/internal/sse"
)

// encrypter encrypts one body between the checksums of its plain bytes and its places, here and at the other holders. A nil one
// leaves the bytes as they are.
type encrypter struct {
	with *Encrypt
	key  []byte // made for these bytes alone
}

func newEncrypter(with *Encrypt) *encrypter {
	if with == nil {
		return nil
	}
	return &encrypter{with: with, key: sse.NewKey()}
}

// end forgets the key.
func (e *encrypter) end() {
	if e != nil {
		clear(e.key)
	}
}

// inlineMax is how many plain bytes lie in a record that may hold so many.
func (e *encrypter) inlineMax(most int) int64 {
	if e == nil || most < 0 {
		return int64(most)
	}
	return int64(sse.Most(most))
}

// stored is how many bytes are stored of size plain ones; -1: unknown.
func (e *encrypter) stored(size int64) int64 {
	if e == nil || size < 0 {
		return size
	}
	return sse.Size(size)
}

// reader gives what a body gives as it is stored. Whether the body came whole, the body itself must be asked.
func (e *encrypter) reader(body io.Reader) (io.Reader, error) {
	if e == nil {
		return body, nil
	}
	return sse.Encrypt(body, e.key)
}

// bytes encrypts a body that lies in its record.
func (e *encrypter) bytes(plain []byte) ([]byte, error) {
	if e == nil || len(plain) == 0 {
		return plain, nil
	}
	return sse.EncryptBytes(plain, e.key)
}

// encryption is what the record says of the bytes.
func (e *encrypter) encryption(part int, size int64) *Encryption {
	if e == nil {
		return nil
	}
	done := e.with.Encryption
	done.Sealed = e.with.Seal(e.key, part, size)
	return &done
}

// sealed is the range of plain bytes that an encrypted piece gives.
type sealed struct {
	key            []byte
	offset, length int64
	bytes          *sse.Decrypter // nil until the piece is reached: it needs memory
}

// seal makes a piece one that gives the plain bytes of its range. Its data are bound to the number that their part had in its
// upload.
func (o *Object) seal(p *piece, e *Encryption, by []byte, part int, size int64) error {
	if o.keys == nil {
		return cluster.Fail("", "", cluster.KindInvalid, "the object is encrypted")
	}
	key, err := o.keys.Open(e, by, part, size)
	if err != nil {
		return err
	}
	p.sealed = &sealed{key: key, offset: p.offset, length: p.length}
	p.offset, p.length = sse.Span(p.offset, p.length, size)
	return nil
}

// decrypted returns the next bytes of an encrypted piece in the clear, or io.EOF.
func (o *Object) decrypted(p *piece) (b []byte, err error) {
	s := p.sealed
	if s.bytes == nil {
		if s.bytes, err = sse.Decrypt(s.key, s.offset, s.length, func() ([]byte, error) { return o.stored(&o.pieces[0]) }); err != nil {
			return nil, o.name.wrap("target/store.Object.Next", cluster.KindOther, err)
		}
		clear(s.key)
	}
	b, err = s.bytes.Next()
	if sse.IsDamage(err) { // the stored bytes had their checksums: no other holder has better ones
		return nil, o.name.wrap("target/store.Object.Next", cluster.KindCorrupt, err)
	}
	return b, err
}

// storedSize is how many bytes the data of an object take as they are stored.
func storedSize(r *meta.Record) int64 {
	if r.PartCount == 0 {
		return r.Stored()
	}
	size := int64(0)
	for i := range r.Parts {
		size += r.Parts[i].Stored()
	}
	return size
}
