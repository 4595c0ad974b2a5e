package raftnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/aisle-store/aisle/cluster"
)

// DatabaseName is the file in a directory of stores that holds log, term and vote.
const DatabaseName = "raft.db"

// cachedLogs is how many of the latest entries stay in memory for followers.
const cachedLogs = 256

// lockTimeout is how long OpenDir waits for a process that is just ending.
const lockTimeout = time.Second

// OpenDir opens, or makes, the stores in a directory, which one process may have open. Log entries and votes are synced
// before raft acts on them, snapshots before the log behind them goes.
func OpenDir(dir string, log *slog.Logger) (*Stores, error) {
	const op = "raftnode.OpenDir"
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, err)
	}
	db, err := openDatabase(filepath.Join(dir, DatabaseName))
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, cluster.Fail(op, dir, cluster.KindConflict, "another process uses this directory")
	}
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, newLogger(log.With("part", "raft")))
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, errors.Join(err, db.close()))
	}
	cached, err := raft.NewLogCache(cachedLogs, db)
	if err != nil {
		return nil, cluster.E(op, dir, cluster.KindOther, errors.Join(err, db.close()))
	}
	return &Stores{logs: cached, stable: db, snapshots: snapshots, freeze: func() {}, close: sync.OnceValue(db.close)}, nil
}

// The buckets of the database.
var (
	bucketLog    = []byte("log")    // index (8 bytes, big endian) -> entry, see encodeEntry
	bucketStable = []byte("stable") // raft's keys -> its values; numbers as 8 bytes, big endian
	bucketFormat = []byte("format") // "version" -> one byte, see formatVersion
	keyVersion   = []byte("version")
)

// formatVersion is the form of what is in the buckets.
const formatVersion = 1

// database is the log and the stable store of raft in one file of bbolt, whose transactions are synced when they return.
//
// raft-wal, which is made for the purpose and needs one sync less, was tried first and given up: with 0.4.0 a node cannot
// restart after the end of its log was cut off, and with 0.4.1 it cannot append any more after a crash between sealing a
// file and recording it. Both came out when a test cut the power between any two steps.
type database struct{ *bbolt.DB }

func openDatabase(path string) (*database, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	d := &database{db}
	if err := d.Update(prepare); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

// prepare makes the buckets of a new database and refuses one of another format.
func prepare(tx *bbolt.Tx) error {
	format, err := tx.CreateBucketIfNotExists(bucketFormat)
	if err != nil {
		return err
	}
	known := []byte{formatVersion}
	if version := format.Get(keyVersion); version != nil && !bytes.Equal(version, known) {
		return fmt.Errorf("the database has format %x; this build knows %x", version, known)
	}
	_, err1 := tx.CreateBucketIfNotExists(bucketLog)
	_, err2 := tx.CreateBucketIfNotExists(bucketStable)
	return errors.Join(err1, err2, format.Put(keyVersion, known))
}

func (d *database) close() error { return d.Close() }

// FirstIndex implements raft.LogStore.
func (d *database) FirstIndex() (index uint64, err error) {
	err = d.View(func(tx *bbolt.Tx) error {
		key, _ := tx.Bucket(bucketLog).Cursor().First()
		index = indexOf(key)
		return nil
	})
	return index, err
}

// LastIndex implements raft.LogStore.
func (d *database) LastIndex() (index uint64, err error) {
	err = d.View(func(tx *bbolt.Tx) error {
		key, _ := tx.Bucket(bucketLog).Cursor().Last()
		index = indexOf(key)
		return nil
	})
	return index, err
}

// GetLog implements raft.LogStore.
func (d *database) GetLog(index uint64, log *raft.Log) error {
	return d.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLog).Get(keyOf(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		return decodeEntry(index, value, log)
	})
}

// StoreLog implements raft.LogStore.
func (d *database) StoreLog(log *raft.Log) error { return d.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore.
func (d *database) StoreLogs(logs []*raft.Log) error {
	return d.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = 0.9 // entries come in order
		for _, log := range logs {
			if err := b.Put(keyOf(log.Index), encodeEntry(log)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange implements raft.LogStore.
func (d *database) DeleteRange(low, high uint64) error {
	return d.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		for {
			key, _ := b.Cursor().Seek(keyOf(low))
			if key == nil || indexOf(key) > high {
				return nil
			}
			if err := b.Delete(key); err != nil {
				return err
			}
		}
	})
}

// Set implements raft.StableStore.
func (d *database) Set(key, value []byte) error {
	return d.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
}

// Get implements raft.StableStore.
func (d *database) Get(key []byte) (value []byte, err error) {
	err = d.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketStable).Get(key)
		if stored == nil {
			return errNoValue
		}
		value = append([]byte{}, stored...)
		return nil
	})
	return value, err
}

// SetUint64 implements raft.StableStore.
func (d *database) SetUint64(key []byte, value uint64) error { return d.Set(key, keyOf(value)) }

// GetUint64 implements raft.StableStore.
func (d *database) GetUint64(key []byte) (uint64, error) {
	value, err := d.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("the value of %q has %d bytes, not 8", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

func keyOf(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

// indexOf is 0 for the key of an empty bucket.
func indexOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// entryHead is the size of what an entry has before its extensions: version (1 byte), type (1), term (8), time of the
// append in nanoseconds since 1970 or 0 (8), length of the extensions (4). The data is what follows them.
const (
	entryV1   = 1
	entryHead = 1 + 1 + 8 + 8 + 4
)

func encodeEntry(log *raft.Log) []byte {
	b := make([]byte, 0, entryHead+len(log.Extensions)+len(log.Data))
	b = append(b, entryV1, byte(log.Type))
	b = binary.BigEndian.AppendUint64(b, log.Term)
	var at int64
	if !log.AppendedAt.IsZero() {
		at = log.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(log.Extensions)))
	b = append(b, log.Extensions...)
	return append(b, log.Data...)
}

// decodeEntry copies what it takes: the value is gone with the transaction.
func decodeEntry(index uint64, value []byte, log *raft.Log) error {
	if len(value) < entryHead || value[0] != entryV1 {
		return fmt.Errorf("log entry %d has a form that this build does not know", index)
	}
	extensions := binary.BigEndian.Uint32(value[entryHead-4:])
	rest := append([]byte{}, value[entryHead:]...)
	if uint64(extensions) > uint64(len(rest)) {
		return fmt.Errorf("log entry %d ends within its extensions", index)
	}
	*log = raft.Log{
		Index: index,
		Term:  binary.BigEndian.Uint64(value[2:]),
		Type:  raft.LogType(value[1]),
		Data:  rest[extensions:],
	}
	if extensions > 0 {
		log.Extensions = rest[:extensions:extensions]
	}
	if at := int64(binary.BigEndian.Uint64(value[10:])); at != 0 {
		log.AppendedAt = time.Unix(0, at)
	}
	return nil
}
