package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/cluster/control"
	"github.com/aisle-store/aisle/cluster/secret"
)

// recoveryFile is what a recovered node leaves for the others that survived.
const recoveryFile = "recovery.json"

// recovery is its content.
type recovery struct {
	Version int              `json:"version"`
	Cluster string           `json:"cluster"`
	Node    cluster.NodeID   `json:"node"`
	Address string           `json:"address"`
	Term    uint64           `json:"term"`
	Index   uint64           `json:"index"`
	Dead    []cluster.NodeID `json:"dead"`
	Secret  string           `json:"secret"`
}

const recoveryVersion = 1

// RecoverOptions say what to do with a cluster that has lost the majority of its voters for ever.
type RecoverOptions struct {
	Dir           string
	SecretFile    string // where the old secret is, unless it is in Dir
	ClusterSecret string
	Dead          []string // nodes that never come back
	Follow        string   // the recovery file of another survivor
	LoseData      bool     // go on although there is data that only dead nodes have
	Force         bool     // go on although nodes answer that should not, or this node knows more than the other survivor
	DryRun        bool
	Out           io.Writer
	Log           io.Writer
	Wait          time.Duration // until no lease can be left; a little more than one when zero
}

// Recover makes a node that does not run the first of its cluster again, or a follower of the one that is. Without either it
// says what the node knows.
func Recover(ctx context.Context, o RecoverOptions) error {
	if _, err := os.Stat(filepath.Join(o.Dir, identityFile)); err != nil {
		return fmt.Errorf("%s is not the state directory of a node: %w", o.Dir, err)
	}
	s, err := openState(o.Dir)
	if err != nil {
		return err
	}
	r := &recoverer{RecoverOptions: o, state: s}
	if r.Wait == 0 {
		r.Wait = control.DefaultLease * 11 / 10
	}
	return errors.Join(r.run(ctx), s.close())
}

// recoverer is one run of Recover.
type recoverer struct {
	RecoverOptions
	state   *state
	offline *control.Offline
	dead    []cluster.NodeID
}

func (r *recoverer) printf(format string, args ...any) { fmt.Fprintf(r.Out, format, args...) }

func (r *recoverer) run(ctx context.Context) error {
	_, err := os.Stat(r.state.path(raftDir))
	if errors.Is(err, fs.ErrNotExist) && r.Follow != "" {
		return r.follow() // a second time: what is left to do is the secret
	}
	if err != nil {
		return err
	}
	if r.offline, err = control.OpenOffline(r.state.path(raftDir), slog.New(slog.NewTextHandler(r.Log, &slog.HandlerOptions{Level: slog.LevelWarn}))); err != nil {
		return err
	}
	err = r.decide(ctx)
	if r.offline != nil {
		err = errors.Join(err, r.offline.Close())
	}
	return err
}

// decide does what the options ask for.
func (r *recoverer) decide(ctx context.Context) error {
	m := r.offline.Map()
	r.printf("Cluster %s, as node %s knows it: map %d, end of the log: term %d, index %d.\n", m.ClusterID, r.state.id.ID, m.Version, r.offline.End.Term, r.offline.End.Index)
	switch {
	case r.Follow != "":
		return r.follow()
	case len(r.Dead) > 0:
		return r.recover(ctx)
	}
	for _, n := range m.Nodes {
		r.printf("  %s  %s  %s\n", n.ID, n.Roles, n.IntraAddr)
	}
	r.printf("Nothing was changed. Recover on the survivor whose log goes furthest (term first, then index), and name every node that is lost: --dead NODE\n")
	return nil
}

// recover makes this node the first of the cluster again.
func (r *recoverer) recover(ctx context.Context) error {
	for _, id := range r.Dead {
		r.dead = append(r.dead, cluster.NodeID(id))
	}
	slices.Sort(r.dead)
	r.dead = slices.Compact(r.dead)
	if slices.Contains(r.dead, r.state.id.ID) {
		return errors.New("this node is named as dead; recover on one that survives")
	}
	loss, err := r.offline.Loss(r.dead)
	if err != nil {
		return err
	}
	r.printf("%s", lossText(loss))
	if err := r.checkSilence(ctx); err != nil && !r.Force {
		return err
	}
	if (loss.Gone > 0 || loss.Doubtful > 0) && !r.LoseData {
		return errors.New("there is data that only the dead nodes had, as said above; to go on without it: --lose-data")
	}
	if r.DryRun {
		r.printf("Nothing was changed (--dry-run).\n")
		return nil
	}
	return r.carryOut(ctx)
}

// lossText says what goes with the dead nodes.
func lossText(loss control.Loss) string {
	if loss == (control.Loss{}) {
		return "Every slot has a holder in sync among the nodes that are left.\n"
	}
	return fmt.Sprintf("%d slots have lost all their holders: what was in them is lost.\n%d slots have no holder left that is known to have everything: what is left of them may be old or incomplete.\n",
		loss.Gone, loss.Doubtful)
}

// carryOut does it: the secret first, so that no node of before can talk to this one from then on.
func (r *recoverer) carryOut(ctx context.Context) error {
	m := r.offline.Map()
	self, _ := m.Node(r.state.id.ID)
	r.printf("Waiting until no lease is left ...\n")
	if !sleepFor(ctx, r.Wait) {
		return context.Cause(ctx)
	}
	kept := fmt.Sprintf("%s.before-recovery-%s", r.state.path(raftDir), time.Now().UTC().Format("20060102T150405"))
	if err := os.CopyFS(kept, os.DirFS(r.state.path(raftDir))); err != nil {
		return fmt.Errorf("keep a copy of the control state: %w", err)
	}
	fresh, err := r.renewSecret()
	if err != nil {
		return err
	}
	if err := r.offline.Recover(r.state.id.ID, r.dead); err != nil {
		return err
	}
	text, err := json.MarshalIndent(recovery{
		Version: recoveryVersion, Cluster: m.ClusterID, Node: r.state.id.ID, Address: self.IntraAddr, Term: r.offline.End.Term, Index: r.offline.End.Index,
		Dead: r.dead, Secret: fresh.Text(),
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := writeDurably(r.state.path(recoveryFile), append(text, '\n')); err != nil {
		return err
	}
	r.printf(`Recovered. The control state of before is kept in %s.
1. The cluster has a new secret, in %s: a node that is given one (--cluster-secret-file, AISLE_CLUSTER_SECRET) is to be given this one from now on.
2. Start this node.
3. On every other node that survived: aisle cluster recover --dir ITS_DIR --follow %s (a copy of it), then start it with --join %s.
4. Never start a dead node again: wipe its state directory and its mountpaths first. Then it can join as a new one.
`, kept, r.state.path(secret.FileName), r.state.path(recoveryFile), self.IntraAddr)
	return nil
}

// renewSecret gives the node a new cluster secret.
func (r *recoverer) renewSecret() (*secret.Secret, error) {
	if err := os.Remove(r.state.path(secret.FileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return secret.Generate(r.state.dir)
}

// follow makes this node forget the control state, so that it gets that of the node which was recovered.
func (r *recoverer) follow() error {
	text, err := os.ReadFile(r.Follow)
	if err != nil {
		return err
	}
	var with recovery
	if err := json.Unmarshal(text, &with); err != nil {
		return fmt.Errorf("%s: %w", r.Follow, err)
	}
	if with.Version != recoveryVersion {
		return fmt.Errorf("%s has version %d, and this program knows version %d", r.Follow, with.Version, recoveryVersion)
	}
	if err := r.checkFollow(with); err != nil {
		return err
	}
	if r.DryRun {
		r.printf("Nothing was changed (--dry-run).\n")
		return nil
	}
	fresh, err := secret.Parse(with.Secret)
	if err != nil {
		return err
	}
	if err := os.Remove(r.state.path(secret.FileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fresh.Save(r.state.dir); err != nil {
		return err
	}
	if r.offline != nil {
		if err := r.offline.Close(); err != nil {
			return err
		}
		r.offline = nil
		kept := fmt.Sprintf("%s.before-recovery-%s", r.state.path(raftDir), time.Now().UTC().Format("20060102T150405"))
		if err := os.Rename(r.state.path(raftDir), kept); err != nil {
			return err
		}
		r.printf("The control state of before is kept in %s.\n", kept)
	}
	r.printf("Start this node with --join %s and the new cluster secret.\n", with.Address)
	return nil
}

// checkFollow refuses to follow a node of another cluster, or one that knows less than this one.
func (r *recoverer) checkFollow(with recovery) error {
	if slices.Contains(with.Dead, r.state.id.ID) {
		return errors.New("the recovery named this node as dead: it can never come back. Wipe its state directory and mountpaths; then it can join as a new node")
	}
	if r.offline == nil {
		return nil
	}
	if id := r.offline.Map().ClusterID; id != with.Cluster {
		return fmt.Errorf("the recovery is of cluster %s, and this node is of %s", with.Cluster, id)
	}
	if r.offline.End.Beyond(control.Position{Term: with.Term, Index: with.Index}) && !r.Force {
		return fmt.Errorf("this node's log goes further than that of %s, where term %d, index %d is the end: recover here instead, or lose what only this node knows by --force", with.Node, with.Term, with.Index)
	}
	return nil
}

// checkSilence refuses while a dead node answers, or so many others that they need no recovery.
func (r *recoverer) checkSilence(ctx context.Context) error {
	shared, err := secret.Load(secret.Source{File: r.SecretFile, Value: r.ClusterSecret, StateDir: r.Dir})
	if err != nil {
		return fmt.Errorf("nobody can be asked whether it is alive: %w", err)
	}
	identity, err := shared.Identity()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var answering []cluster.NodeID
	m := r.offline.Map()
	for _, n := range m.Nodes {
		if n.ID == r.state.id.ID {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			conn, err := identity.Dial(ctx, controlProtocol, n.IntraAddr)
			if err != nil {
				return
			}
			_ = conn.Close() // nothing was said
			mu.Lock()
			defer mu.Unlock()
			answering = append(answering, n.ID)
		})
	}
	wg.Wait()
	slices.Sort(answering)
	for _, id := range answering {
		if slices.Contains(r.dead, id) {
			return fmt.Errorf("node %s is named as dead, and answers", id)
		}
	}
	alive := 0
	for _, id := range r.offline.Voters {
		if id == r.state.id.ID || slices.Contains(answering, id) {
			alive++
		}
	}
	if voters := len(r.offline.Voters); 2*alive > voters {
		return fmt.Errorf("%d of %d voters are there, this node included (%v answer): start it, and the cluster needs no recovery; to go on all the same: --force", alive, voters, answering)
	}
	return nil
}

// sleepFor returns false when the context ends before.
func sleepFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
