package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/httpd"
	"github.com/aisle-store/aisle/cluster/intra"
	"github.com/aisle-store/aisle/target"
)

// lateTarget is a target that is opened with the first map, when the node knows its cluster: new mountpaths are formatted
// for that one. Until then everything is KindUnavailable.
type lateTarget struct {
	state   *state
	log     *slog.Logger
	options target.Options
	opened  atomic.Pointer[target.Target]
	serves  atomic.Bool // a map was activated

	changes   sync.Mutex // one mountpath is attached at a time
	clusterID string     // set before opened
}

// participant returns what the control plane calls, or nil on a node that holds nothing.
func (n *node) participant() control.Participant {
	if n.target == nil {
		return nil
	}
	return n.target
}

func (l *lateTarget) get() (*target.Target, error) {
	const op = "node.lateTarget"
	t := l.opened.Load()
	if t == nil {
		return nil, cluster.Fail(op, string(l.options.Node.ID), cluster.KindUnavailable, "the node is starting")
	}
	return t, nil
}

// full reports whether a mountpath has no space for writes.
func (l *lateTarget) full() bool {
	t := l.opened.Load()
	return t != nil && t.Full()
}

// open formats what is new and opens the mountpaths.
func (l *lateTarget) open(ctx context.Context, clusterID string) (*target.Target, error) {
	if err := l.state.format(clusterID); err != nil {
		return nil, err
	}
	o := l.options
	o.ClusterID = clusterID
	t, err := target.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, m := range t.Mountpaths() {
		if m.Err != nil {
			l.log.Error("a mountpath does not serve; its objects are unavailable", "mountpath", m.Path, "error", m.Err)
		}
	}
	l.clusterID = clusterID
	l.opened.Store(t)
	return t, nil
}

func (l *lateTarget) close() error {
	if t := l.opened.Load(); t != nil {
		return t.Close()
	}
	return nil
}

// Activate implements control.Participant.
func (l *lateTarget) Activate(ctx context.Context, m *cluster.Map) error {
	t, err := l.get()
	if err != nil {
		if t, err = l.open(ctx, m.ClusterID); err != nil {
			return err
		}
	}
	if err := t.Activate(ctx, m); err != nil {
		return err
	}
	l.serves.Store(true)
	self, _ := m.Node(l.options.Node.ID)
	if err := l.state.follow(self.Mountpaths); err != nil {
		l.log.Warn("cannot note which mountpaths the cluster knows", "error", err)
	}
	return nil
}

// Fence implements control.Participant.
func (l *lateTarget) Fence(ctx context.Context, pending *cluster.Map) ([]cluster.Slot, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.Fence(ctx, pending)
}

// SealBucket implements control.Participant.
func (l *lateTarget) SealBucket(ctx context.Context, id cluster.BucketID) (bool, error) {
	t, err := l.get()
	if err != nil {
		return false, err
	}
	return t.SealBucket(ctx, id)
}

// FreezeBucket implements control.Participant.
func (l *lateTarget) FreezeBucket(ctx context.Context, id cluster.BucketID) error {
	t, err := l.get()
	if err != nil {
		return err
	}
	return t.FreezeBucket(ctx, id)
}

// MoveBucket implements control.Participant.
func (l *lateTarget) MoveBucket(ctx context.Context, from cluster.BucketID) (uint64, bool, error) {
	t, err := l.get()
	if err != nil {
		return 0, false, err
	}
	return t.MoveBucket(ctx, from)
}

// DropBucket implements control.Participant.
func (l *lateTarget) DropBucket(ctx context.Context, id cluster.BucketID) error {
	t, err := l.get()
	if err != nil {
		return err
	}
	return t.DropBucket(ctx, id)
}

// ServeObject answers a request about one object that the gateway in this process has granted.
func (l *lateTarget) ServeObject(ctx context.Context, g *intra.Grant, req *httpd.Request, rep *httpd.Reply) error {
	t, err := l.get()
	if err != nil {
		return err
	}
	return t.ServeObject(ctx, g, req, rep)
}

// List implements intra.Service.
func (l *lateTarget) List(ctx context.Context, g *intra.Grant, in *intra.ListRequest) (*intra.ListReply, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.List(ctx, g, in)
}

// Delete implements intra.Service.
func (l *lateTarget) Delete(ctx context.Context, g *intra.Grant, in *intra.DeleteRequest) (*intra.DeleteReply, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.Delete(ctx, g, in)
}

// Stat implements intra.Service.
func (l *lateTarget) Stat(ctx context.Context, g *intra.Grant, in *intra.StatRequest) (*intra.StatReply, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.Stat(ctx, g, in)
}

// Move implements intra.Service.
func (l *lateTarget) Move(ctx context.Context, g *intra.Grant, in *intra.MoveRequest) (*intra.MoveReply, error) {
	t, err := l.get()
	if err != nil {
		return nil, err
	}
	return t.Move(ctx, g, in)
}

// format makes mountpaths of the directories that are new, and notes that they are formatted.
func (s *state) format(clusterID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.id.Mountpaths {
		m := &s.id.Mountpaths[i]
		if m.Formatted || m.Detached {
			continue
		}
		if !s.owns(m.Path) { // else this node ended after it had formatted, before it noted that
			if err := target.Format(nil, m.Path, clusterID, s.id.ID, m.ID); err != nil {
				return err
			}
		}
		m.Formatted = true
		if err := s.save(); err != nil {
			return err
		}
	}
	return nil
}

// owns reports whether a directory is a mountpath of this node.
func (s *state) owns(path string) bool {
	text, err := os.ReadFile(filepath.Join(path, "format.json"))
	if err != nil {
		return false
	}
	var id struct {
		Node cluster.NodeID `json:"node"`
	}
	return json.Unmarshal(text, &id) == nil && id.Node == s.id.ID
}

// checkNew makes the directory of a new mountpath and refuses one that holds anything: it could be somebody's data.
func (s *state) checkNew(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "lost+found", "format.json.new":
			continue
		case "format.json":
			if s.owns(path) {
				return nil
			}
			return fmt.Errorf("--mountpath %s belongs to another node or cluster; give this node an empty directory", path)
		}
	}
	for _, e := range entries {
		if e.Name() != "lost+found" && e.Name() != "format.json.new" {
			return fmt.Errorf("--mountpath %s is not empty (it holds %s); a new mountpath is an empty directory", path, e.Name())
		}
	}
	return nil
}
