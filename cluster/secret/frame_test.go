package secret

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func FuzzRequest(f *testing.F) {
	f.Add(appendRequest(nil, request{method: "join", timeout: time.Second, body: []byte("body")}))
	f.Add(appendRequest(nil, request{}))
	f.Add([]byte{0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, wire []byte) {
		frame, err := readFrame(bytes.NewReader(wire))
		if err != nil {
			return
		}
		r, err := parseRequest(frame)
		if err != nil || r.timeout < time.Millisecond || r.timeout > (1<<31)*time.Millisecond {
			return
		}
		if again := appendRequest(nil, r); !bytes.Equal(again, wire[:len(again)]) || len(again) != len(frame)+4 {
			t.Fatalf("%x was read as %+v, which is %x", wire, r, again)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{1, 0, 'x'})
	f.Add([]byte{1, 1, '{', '}'})
	f.Add(appendAnswer(nil, nil, errors.New("short"))[4:])
	f.Fuzz(func(t *testing.T, frame []byte) {
		body, remote, err := parseAnswer(frame)
		if err != nil || remote == nil {
			return
		}
		if body != nil {
			t.Fatal("an error with a body")
		}
		// An error that was read can be sent on and reads the same.
		_, again, err := parseAnswer(appendAnswer(nil, nil, remote)[4:])
		if err != nil {
			t.Fatal(err)
		}
		if len(remote.Error()) < maxText && again.Error() != remote.Error() {
			t.Fatalf("%q became %q", remote, again)
		}
	})
}
