package raftnode

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func FuzzEntry(f *testing.F) {
	f.Add(encodeEntry(&raft.Log{Term: 3, Data: []byte("data"), Extensions: []byte("x"), AppendedAt: time.Unix(5, 6)}))
	f.Add(encodeEntry(&raft.Log{}))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, value []byte) {
		var log raft.Log
		if decodeEntry(7, value, &log) == nil {
			if again := encodeEntry(&log); !bytes.Equal(again, value) {
				t.Fatalf("%x became %x", value, again)
			}
		}
	})
}

func FuzzPreface(f *testing.F) {
	f.Add(appendPreface(nil, "a node"))
	f.Add([]byte(prefaceMagic))
	f.Fuzz(func(t *testing.T, wire []byte) {
		to, err := readPreface(bytes.NewReader(wire))
		if err == nil && !bytes.HasPrefix(wire, appendPreface(nil, to)) {
			t.Fatalf("%x was read as %q", wire, to)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	f.Add(sealSnapshot(7, []byte("state")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		index, data, err := openSnapshot(raw)
		if err == nil && !bytes.Equal(sealSnapshot(index, data), raw) {
			t.Fatalf("%x was read as %d, %x", raw, index, data)
		}
	})
}
