package raftnode

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"

	"github.com/aisle-store/aisle/cluster"
)

// segmentSize is how much of the log one file takes. Files are preallocated.
const segmentSize = 8 << 20

// cachedLogs is how many of the latest entries stay in memory for followers.
const cachedLogs = 256

// OpenDir opens, or makes, the stores in a directory, which one process may have open. Log entries and votes are synced
// before raft acts on them, snapshots before the log behind them goes.
func OpenDir(dir string, log *slog.Logger) (*Stores, error) {
	const op = "raftnode.OpenDir"
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	logDir := filepath.Join(dir, "log")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindConflict, err)
	}
	logger := newLogger(log.With("part", "raft"))
	meta := &metadb.BoltMetaDB{} // given, because the log closes all its files but these
	entries, err := wal.Open(logDir, wal.WithSegmentSize(segmentSize), wal.WithLogger(logger), wal.WithMetaStore(meta))
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, errors.Join(err, meta.Close(), unlock()))
	}
	stop := sync.OnceValue(func() error { return errors.Join(entries.Close(), meta.Close(), unlock()) })
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, logger)
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, errors.Join(err, stop()))
	}
	cached, err := raft.NewLogCache(cachedLogs, entries)
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, errors.Join(err, stop()))
	}
	return &Stores{logs: cached, stable: entries, snapshots: snapshots, freeze: func() {}, close: stop}, nil
}

// lockDir keeps a second process out of a directory; without it the log would wait for ever for the first to end.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another process uses this directory")
		}
		return nil, err
	}
	return f.Close, nil
}
