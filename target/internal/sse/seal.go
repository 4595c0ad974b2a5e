package sse

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// A sealed key is: version (1 byte), number of the key that sealed it (8), salt (32), ciphertext and tag (48). It is
// encrypted by AES-256-GCM under HMAC-SHA256(the sealing key, label and salt), a key of its own: so the nonce is zero, and no
// number of sealed keys is too many for one sealing key. All before the ciphertext, and the binding, are authenticated.
const (
	sealVersion = 1
	saltOffset  = 1 + 8
	sealHead    = saltOffset + sha256.Size
	sealSize    = sealHead + KeySize + 16
	sealLabel   = "aisle sealed key v1"
)

// ErrSealed says that a key was not sealed by the key at hand, for something else, or was changed.
var ErrSealed = errors.New("the sealed key does not open")

// Seal seals a key under another one, whose number is told by Number. The binding says what the key is for.
func Seal(under []byte, number uint64, key, binding []byte) []byte {
	out := make([]byte, sealHead, sealSize)
	out[0] = sealVersion
	binary.BigEndian.PutUint64(out[1:], number)
	rand.Read(out[saltOffset:]) // never fails
	return sealer(under, out[saltOffset:]).Seal(out, make([]byte, nonceSize), key, bound(out, binding))
}

// Open opens what Seal returned for the same binding, or returns ErrSealed.
func Open(under, sealed, binding []byte) ([]byte, error) {
	if len(sealed) != sealSize || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	head := sealed[:sealHead]
	key, err := sealer(under, head[saltOffset:]).Open(nil, make([]byte, nonceSize), sealed[sealHead:], bound(head, binding))
	if err != nil {
		return nil, ErrSealed
	}
	return key, nil
}

// Number returns the number of the key that sealed a key, or 0.
func Number(sealed []byte) uint64 {
	if len(sealed) != sealSize {
		return 0
	}
	return binary.BigEndian.Uint64(sealed[1:])
}

const nonceSize = 12

func sealer(under, salt []byte) cipher.AEAD {
	mac := hmac.New(sha256.New, under)
	mac.Write([]byte(sealLabel))
	mac.Write(salt)
	key := mac.Sum(nil)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("sse: " + err.Error()) // the length is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("sse: " + err.Error()) // AES has the right block
	}
	return aead
}

func bound(head, binding []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(binding)), head...), binding...)
}

// Binding is what a key is bound to, in a form in which no two bindings are the same.
func Binding(number int, size int64, texts ...string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(number))
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	for _, text := range texts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return b
}
