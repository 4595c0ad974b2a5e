package store

import (
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestOverwrittenIsNeverAbsent: a reader whose view of the index is older than a write, and who learns of the write before it
// has looked at the generation that the write replaced, must not take the object for absent; nor may a list.
func TestOverwrittenIsNeverAbsent(t *testing.T) {
	b := newBed(t, vfs.NewMem(), 1, nil)
	defer b.close()
	b.put("key", []byte("first"))
	end := time.Now().Add(2 * time.Second)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for time.Now().Before(end) {
				b.put("key", []byte("again"))
			}
		})
	}
	for range 16 {
		wait.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				if _, _, err := b.read(b.getRequest("key")); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	for range 4 {
		wait.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				if keys, err := b.list(b.listRequest()); err != nil || len(keys) != 1 {
					t.Errorf("list: %v, %v", keys, err)
				}
			}
		})
	}
	wait.Wait()
}
