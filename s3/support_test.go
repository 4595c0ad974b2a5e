package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// fields is a Header for tests.
type fields []Field

func (f fields) Get(name string) string {
	for _, x := range f {
		if strings.EqualFold(x.Name, name) {
			return x.Value
		}
	}
	return ""
}

func (f fields) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, x := range f {
			if !yield(x.Name, x.Value) {
				return
			}
		}
	}
}

func (f fields) with(pairs ...string) fields {
	out := append(fields{}, f...)
next:
	for i := 0; i < len(pairs); i += 2 {
		for j := range out {
			if strings.EqualFold(out[j].Name, pairs[i]) {
				out[j].Value = pairs[i+1]
				continue next
			}
		}
		out = append(out, Field{pairs[i], pairs[i+1]})
	}
	return out
}

func (f fields) without(name string) fields {
	var out fields
	for _, x := range f {
		if !strings.EqualFold(x.Name, name) {
			out = append(out, x)
		}
	}
	return out
}

// newCall builds a call of the path style without judging its operation.
func newCall(t testing.TB, method, target, host string, length int64, header fields) *Call {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	c := &Call{Request: Request{Method: method, Path: path, Query: query, Host: host, Header: header, Length: length}}
	var err error
	if c.Params, err = ParseQuery(query); err != nil {
		t.Fatalf("ParseQuery(%q): %v", query, err)
	}
	if err := new(Router).resource(c); err != nil {
		t.Fatalf("resource(%q): %v", path, err)
	}
	return c
}

// The keys and the time of AWS's published examples.
const (
	exampleID     = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func exampleVerifier() *Verifier {
	return NewVerifier(VerifierOptions{Secret: func(id cluster.AccessKeyID) (string, bool) {
		return exampleSecret, id == exampleID
	}})
}

func wantCode(t *testing.T, err error, code Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	if got := CodeOf(err); got != code {
		t.Fatalf("code %s (%v), want %s", got, err, code)
	}
	if got, want := cluster.KindOf(err), codes[code].kind; got != want {
		t.Fatalf("kind %s of %v, want %s", got, err, want)
	}
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
