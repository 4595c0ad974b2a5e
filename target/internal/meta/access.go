package meta

import (
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// accessKey names an object.
type accessKey struct {
	bucket cluster.BucketID
	key    cluster.ObjectKey
}

func (k accessKey) append(b []byte) []byte {
	return appendEscaped(appendBucket(b, accessTime, k.bucket), string(k.key))
}

// accessTimes are those that are not written yet. They are worth little: a crash loses them, and when more come than can be
// kept they are dropped.
type accessTimes struct {
	mu struct {
		sync.Mutex
		fresh    map[accessKey]int64
		flushing map[accessKey]int64 // being written
	}
	flush   sync.Mutex    // one flush at a time
	full    chan struct{} // of capacity 1: asks for a flush
	stop    chan struct{}
	stopped sync.WaitGroup
}

// startAccess starts the goroutine that flushes now and then.
func (x *Index) startAccess() {
	a := &x.access
	a.mu.fresh = make(map[accessKey]int64)
	a.full, a.stop = make(chan struct{}, 1), make(chan struct{})
	a.stopped.Go(func() {
		ticker := time.NewTicker(x.o.AccessFlush)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-a.full:
			case <-x.dead:
				return
			case <-a.stop:
				return
			}
			if err := x.FlushAccess(); err != nil {
				report(x.o.Events.Background, err)
			}
		}
	})
}

// stopAccess ends the goroutine and writes what is left.
func (x *Index) stopAccess() {
	close(x.access.stop)
	x.access.stopped.Wait()
	if err := x.FlushAccess(); err != nil && x.Err() == nil {
		report(x.o.Events.Background, err)
	}
}

// Touch notes when an object was read. It is kept in memory and written some time later, without a sync.
func (x *Index) Touch(bucket cluster.BucketID, key cluster.ObjectKey, at time.Time) {
	a := &x.access
	a.mu.Lock()
	defer a.mu.Unlock()
	k := accessKey{bucket, key}
	if _, known := a.mu.fresh[k]; !known && len(a.mu.fresh) >= x.o.AccessTimes {
		return
	}
	a.mu.fresh[k] = at.UnixNano()
	if len(a.mu.fresh) >= x.o.AccessTimes*3/4 {
		select {
		case a.full <- struct{}{}:
		default: // asked already
		}
	}
}

// Accessed returns when an object was last read as far as is known, or the zero time.
func (x *Index) Accessed(bucket cluster.BucketID, key cluster.ObjectKey) (time.Time, error) {
	const op = "meta.Accessed"
	k := accessKey{bucket, key}
	a := &x.access
	a.mu.Lock()
	at, ok := a.mu.fresh[k]
	if !ok {
		at, ok = a.mu.flushing[k]
	}
	a.mu.Unlock()
	if ok {
		return time.Unix(0, at), nil
	}
	var n uint64
	found, err := x.value(op, k.append(nil), func(key, value []byte) (err error) {
		n, err = readNumber(key, value)
		return err
	})
	if err != nil || !found {
		return time.Time{}, err
	}
	return time.Unix(0, int64(n)), nil
}

// forget drops what was noted of some objects.
func (a *accessTimes) forget(keys []accessKey) {
	if len(keys) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		delete(a.mu.fresh, k)
	}
}

// FlushAccess writes the access times that are in memory, without a sync.
func (x *Index) FlushAccess() error {
	a := &x.access
	a.flush.Lock()
	defer a.flush.Unlock()
	a.mu.Lock()
	times := a.mu.fresh
	if len(times) == 0 {
		a.mu.Unlock()
		return nil
	}
	a.mu.fresh, a.mu.flushing = make(map[accessKey]int64), times
	a.mu.Unlock()
	err := x.writeAccess(times)
	a.mu.Lock()
	a.mu.flushing = nil
	a.mu.Unlock()
	return err
}

func (x *Index) writeAccess(times map[accessKey]int64) error {
	if err := x.Err(); err != nil {
		return err
	}
	b := x.NewBatch()
	defer b.Close()
	for k, at := range times {
		b.key = k.append(b.key[:0])
		b.value = appendNumber(b.value[:0], b.key, uint64(at))
		b.note(b.b.Set(b.key, b.value, nil))
	}
	return b.Commit(false)
}
