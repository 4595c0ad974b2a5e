package httpd

import (
	"strings"
	"testing"
)

// Every byte at every place, beside bytes that borrow and carry.
func TestIsPlain(t *testing.T) {
	for _, around := range []byte{' ', 'a', '~', 0x80, 0xa0, 0xff} {
		for length := range 20 {
			for at := range length {
				for c := range 256 {
					b := []byte(strings.Repeat(string([]byte{around}), length))
					b[at] = byte(c)
					if want := c >= ' ' && c != 0x7f; isPlain(string(b)) != want {
						t.Fatalf("%q: %v", b, !want)
					}
				}
			}
		}
	}
	if !isFieldValue("with\ttab and more") || isFieldValue("with\x00nul and more") {
		t.Fatal("a tab is allowed, a NUL is not")
	}
}
