package sse

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/minio/sio"
)

func plainBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func encrypted(t testing.TB, plain, key []byte) []byte {
	t.Helper()
	stored, err := EncryptBytes(plain, key)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(stored)) != Size(int64(len(plain))) {
		t.Fatalf("%d bytes take %d, not %d", len(plain), len(stored), Size(int64(len(plain))))
	}
	return stored
}

// read decrypts a range, whose stored bytes come in runs of the given length.
func read(key, stored []byte, size, offset, length int64, run int) ([]byte, error) {
	from, n := Span(offset, length, size)
	if from+n > int64(len(stored)) {
		n = int64(len(stored)) - from
	}
	left := bytes.NewReader(bytes.Clone(stored[from : from+n]))
	d, err := Decrypt(key, offset, length, func() ([]byte, error) {
		b := make([]byte, run)
		n, err := left.Read(b)
		return b[:n], err
	})
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		b, err := d.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, b...)
	}
}

func TestRanges(t *testing.T) {
	const p = packageSize
	key := NewKey()
	for _, size := range []int64{1, 2, p - 1, p, p + 1, 3*p - 1, 3 * p, 3*p + 7} {
		plain := plainBytes(int(size))
		stored := encrypted(t, plain, key)
		edges := []int64{0, 1, p - 1, p, p + 1, 2*p - 1, 2 * p, 2*p + 1, 3*p - 1, 3 * p, size - 1, size}
		for _, begin := range edges {
			for _, end := range edges {
				if begin >= end || end > size {
					continue
				}
				for _, run := range []int{1 << 20, 1000, storedSize, packageSize} {
					got, err := read(key, stored, size, begin, end-begin, run)
					if err != nil || !bytes.Equal(got, plain[begin:end]) {
						t.Fatalf("%d to %d of %d in runs of %d: %d bytes, %v", begin, end, size, run, len(got), err)
					}
				}
			}
		}
	}
	if stored := encrypted(t, nil, key); len(stored) != 0 {
		t.Fatalf("nothing takes %d bytes", len(stored))
	}
}

func TestMost(t *testing.T) {
	for _, size := range []int{0, 1, 32, 33, 4096, storedSize - 1, storedSize, storedSize + 1, storedSize + 32, storedSize + 33, 128 << 10} {
		most := Most(size)
		if Size(int64(most)) > int64(size) {
			t.Errorf("%d bytes take %d, more than %d", most, Size(int64(most)), size)
		}
		if next := Size(int64(most) + 1); next <= int64(size) {
			t.Errorf("%d bytes would do in %d", most+1, size)
		}
	}
}

// TestTampering changes every byte of a short stream and of the borders of a long one.
func TestTampering(t *testing.T) {
	key := NewKey()
	for _, size := range []int64{100, 2*packageSize + 100} {
		plain := plainBytes(int(size))
		stored := encrypted(t, plain, key)
		for i := range stored {
			if at := i % storedSize; len(stored) > 1000 && at > 40 && at < storedSize-40 && i%4999 != 0 && i < len(stored)-200 {
				continue
			}
			stored[i] ^= 0x81
			got, err := read(key, stored, size, 0, size, 1<<20)
			if !IsDamage(err) {
				t.Fatalf("byte %d of %d: %v", i, len(stored), err)
			}
			if !bytes.HasPrefix(plain, got) {
				t.Fatalf("byte %d of %d: other bytes were given", i, len(stored))
			}
			stored[i] ^= 0x81
		}
		for _, n := range []int{1, 15, 16, 32, 33, 99, 132} {
			if _, err := read(key, stored[:len(stored)-n], size, 0, size, 1<<20); !IsDamage(err) {
				t.Fatalf("%d bytes cut off %d: %v", n, len(stored), err)
			}
		}
		if _, err := read(NewKey(), stored, size, 0, size, 1<<20); !IsDamage(err) {
			t.Fatalf("another key: %v", err)
		}
	}
}

// TestMovedPackages puts packages into one another's place, also with the header that DARE would take there.
func TestMovedPackages(t *testing.T) {
	const size = 4 * packageSize
	key := NewKey()
	plain := plainBytes(size)
	stored := encrypted(t, plain, key)
	swap := func(b []byte, i, j int) []byte {
		b = bytes.Clone(b)
		copy(b[i*storedSize:(i+1)*storedSize], stored[j*storedSize:])
		copy(b[j*storedSize:(j+1)*storedSize], stored[i*storedSize:])
		return b
	}
	swapped := swap(stored, 0, 1)
	if _, err := read(key, swapped, size, 0, size, 1<<20); !IsDamage(err) {
		t.Fatalf("swapped packages: %v", err)
	}
	// The nonce of a package is that of its header, changed by its number: a header can be made up under which package 0 would
	// be authentic as number 1.
	swapped[storedSize+12] ^= 1
	one := bytes.NewReader(swapped[storedSize : 2*storedSize])
	d, err := sio.DecryptReader(one, config(key, 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := make([]byte, packageSize); true {
		if _, err := io.ReadFull(d, got); err != nil || !bytes.Equal(got, plain[:packageSize]) {
			t.Fatalf("the forged header is no forgery: %v", err)
		}
	}
	if _, err := read(key, swapped, size, packageSize, packageSize, 1<<20); !IsDamage(err) {
		t.Fatalf("a forged header: %v", err)
	}
	if got, err := read(key, stored, size, packageSize, packageSize, 1<<20); err != nil || !bytes.Equal(got, plain[packageSize:2*packageSize]) {
		t.Fatal(err)
	}
}

func TestErrorsOfSource(t *testing.T) {
	broken := errors.New("broken")
	d, err := Decrypt(NewKey(), 0, 10, func() ([]byte, error) { return nil, broken })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Next(); !errors.Is(err, broken) || IsDamage(err) {
		t.Fatal(err)
	}
}

func TestSeal(t *testing.T) {
	under, key, binding := NewKey(), NewKey(), Binding(3, 100, "AES256", "ais://b", "k")
	sealed := Seal(under, 42, key, binding)
	if Number(sealed) != 42 || Number(nil) != 0 || Number(sealed[1:]) != 0 {
		t.Fatal("the number of the key is lost")
	}
	if got, err := Open(under, sealed, binding); err != nil || !bytes.Equal(got, key) {
		t.Fatal(err)
	}
	refuse := func(what string, under, sealed, binding []byte) {
		t.Helper()
		if _, err := Open(under, sealed, binding); !errors.Is(err, ErrSealed) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		refuse("a byte", under, changed, binding)
	}
	refuse("cut", under, sealed[:len(sealed)-1], binding)
	refuse("empty", under, nil, binding)
	refuse("another key", NewKey(), sealed, binding)
	for _, other := range [][]byte{
		nil, Binding(4, 100, "AES256", "ais://b", "k"), Binding(3, 101, "AES256", "ais://b", "k"), Binding(3, 100, "AES256", "ais://bk", ""),
		Binding(3, 100, "AES256", "ais://b", "", "k"), Binding(3, 100, "AES256", "ais://b", "K"),
	} {
		refuse("another binding", under, sealed, other)
	}
	if bytes.Equal(Seal(under, 42, key, binding), sealed) {
		t.Fatal("a key was sealed twice in the same way")
	}
}

// FuzzDecrypt shows that no bytes make a Decrypter panic, or give others than those that were encrypted.
func FuzzDecrypt(f *testing.F) {
	key := bytes.Repeat([]byte{7}, KeySize)
	plain := plainBytes(300)
	stored, err := EncryptBytes(plain, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored, int64(0), int64(300))
	f.Add(stored, int64(17), int64(1))
	f.Fuzz(func(t *testing.T, stored []byte, offset, length int64) {
		if offset < 0 || length < 1 || offset > 300 || length > 300-offset {
			return
		}
		got, err := read(key, stored, 300, offset, length, 64)
		if !bytes.HasPrefix(plain[offset:], got) || err == nil && int64(len(got)) != length {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}

func BenchmarkDecrypt(b *testing.B) {
	key := NewKey()
	const size = 16 << 20
	stored, err := EncryptBytes(make([]byte, size), key)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		left := stored
		d, _ := Decrypt(key, 0, size, func() ([]byte, error) {
			if len(left) == 0 {
				return nil, io.EOF
			}
			run := left[:min(len(left), 64<<10)]
			left = left[len(run):]
			return run, nil
		})
		for {
			if _, err := d.Next(); err != nil {
				break
			}
		}
	}
}
