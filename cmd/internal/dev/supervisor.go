package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/aisle-store/aisle/cmd/internal/node"
)

// How long things may take before they count as failed.
const (
	serveLimit = 90 * time.Second // from a node's start until it serves
	stopLimit  = 25 * time.Second // from SIGTERM until it has ended
	idleLimit  = 5 * time.Second  // a detached supervisor without a running node ends
	lockLimit  = 3 * time.Second  // for a supervisor that is about to end
)

// Supervisor runs the nodes of one directory.
type Supervisor struct {
	binary  string
	env     []string
	out     io.Writer
	lock    *os.File
	spawner *spawner
	changed chan struct{} // a node was started or has ended
	work    sync.WaitGroup
	one     chan struct{} // holds one token, once Supervise takes commands: whoever has it carries out a command
	life    context.Context
	quit    context.CancelFunc // ends life: no more commands

	detached bool // set by Supervise before it takes commands

	mu struct {
		sync.Mutex
		layout  *layout
		running map[int]*process
		serving bool // the cluster has served: cluster.json is there
	}
}

// Open takes hold of a directory.
func Open(o Options, out io.Writer) (*Supervisor, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(o.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if !flock(lock, lockLimit) {
		lock.Close()
		return nil, fmt.Errorf("%s is in use by a running `aisle dev`; stop that one, see `aisle dev status --dir %s`, or use another --dir", o.Dir, o.Dir)
	}
	l, err := openLayout(o)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &Supervisor{binary: o.Binary, env: o.Env, out: out, lock: lock, spawner: newSpawner(), changed: make(chan struct{}, 1), one: make(chan struct{}, 1)}
	s.life, s.quit = context.WithCancel(context.Background())
	s.mu.layout, s.mu.running = l, make(map[int]*process)
	listener, err := listen(l.dir)
	if err == nil {
		s.work.Go(func() { s.serve(listener) })
		err = os.RemoveAll(filepath.Join(l.dir, clusterFile))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// flock takes the lock of a file, waiting for it up to the limit.
func flock(f *os.File, limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
}

// Close stops every node, waits for them and gives the directory free.
func (s *Supervisor) Close() error {
	s.quit()
	err := s.Stop(-1)
	s.work.Wait()
	s.spawner.close()
	return errors.Join(err, s.lock.Close())
}

// members returns the node of that index; -1 is all.
func (s *Supervisor) members(index int) ([]member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.mu.layout.Members
	if index == -1 {
		return slices.Clone(all), nil
	}
	if index < 0 || index >= len(all) {
		return nil, fmt.Errorf("there is no node %d; there are 0 to %d", index, len(all)-1)
	}
	return []member{all[index]}, nil
}

// Start starts a node, or with -1 all, that do not run, and returns when they serve.
func (s *Supervisor) Start(ctx context.Context, index int) error {
	members, err := s.members(index)
	if err != nil {
		return err
	}
	if err := s.form(ctx); err != nil {
		return err
	}
	for i := range members {
		if err := s.launch(&members[i]); err != nil {
			return err
		}
	}
	if err := s.await(ctx, members); err != nil {
		return err
	}
	return s.publish(true)
}

// form starts the first node alone until it has made the cluster: the others need its secret and an address to join.
func (s *Supervisor) form(ctx context.Context) error {
	s.mu.Lock()
	formed, first := s.mu.layout.Formed, s.mu.layout.Members[0]
	s.mu.Unlock()
	if formed {
		return nil
	}
	if err := s.launch(&first); err != nil {
		return err
	}
	if err := s.await(ctx, []member{first}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.layout.Formed = true
	return s.mu.layout.save()
}

// launch starts a node's process, unless it runs.
func (s *Supervisor) launch(m *member) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.mu.running[m.Index]; p != nil && p.running() {
		return nil
	}
	if err := m.checkPorts(); err != nil {
		return err
	}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return err
	}
	env := append(slices.Clone(s.env), "AISLE_ACCESS_KEY="+s.mu.layout.AccessKey, "AISLE_SECRET_KEY="+s.mu.layout.SecretKey)
	p, err := s.spawner.start(s.binary, s.mu.layout.command(m), env, m.log())
	if err != nil {
		return fmt.Errorf("cannot start node %d: %w", m.Index, err)
	}
	s.mu.running[m.Index] = p
	s.work.Go(func() { s.watch(m.Index, p) })
	return nil
}

// watch notes the end of a node.
func (s *Supervisor) watch(index int, p *process) {
	<-p.ended
	s.mu.Lock()
	wanted := s.mu.running[index] != p // stop and kill take it out first
	if !wanted {
		delete(s.mu.running, index)
	}
	s.mu.Unlock()
	if !wanted {
		fmt.Fprintf(s.out, "node %d has ended: %v\n", index, orClean(p.err))
	}
	if err := s.publish(false); err != nil {
		fmt.Fprintln(s.out, err)
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func orClean(err error) string {
	if err == nil {
		return "without an error"
	}
	return err.Error()
}

// await returns when nodes serve, or one has ended.
func (s *Supervisor) await(ctx context.Context, members []member) error {
	ctx, cancel := context.WithTimeout(ctx, serveLimit)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for i := range members {
		g.Go(func() error { return s.awaitOne(ctx, &members[i]) })
	}
	return g.Wait()
}

func (s *Supervisor) awaitOne(ctx context.Context, m *member) error {
	s.mu.Lock()
	p := s.mu.running[m.Index]
	s.mu.Unlock()
	if p == nil {
		return fmt.Errorf("node %d was stopped before it served", m.Index)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx, m.endpoint()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("node %d ended before it served; the end of %s:\n%s", m.Index, m.log(), tail(m.log()))
		case <-ctx.Done():
			return fmt.Errorf("node %d does not serve yet; see %s", m.Index, m.log())
		}
	}
}

// ready asks a node whether it may answer clients.
func ready(ctx context.Context, endpoint string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/-/ready", nil)
	if err != nil {
		return false
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// tail returns the last lines of a file.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// take takes the processes of nodes out, so that their end is expected.
func (s *Supervisor) take(members []member) map[int]*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := make(map[int]*process)
	for _, m := range members {
		if p := s.mu.running[m.Index]; p != nil {
			taken[m.Index] = p
			delete(s.mu.running, m.Index)
		}
	}
	return taken
}

// Stop stops a node, or with -1 all, gracefully, and returns when they have ended.
func (s *Supervisor) Stop(index int) error {
	return s.end(index, func(p *process) error { return p.stop(stopLimit) })
}

// Kill ends a node, or with -1 all, by SIGKILL.
func (s *Supervisor) Kill(index int) error {
	return s.end(index, func(p *process) error {
		p.kill()
		return nil
	})
}

func (s *Supervisor) end(index int, how func(*process) error) error {
	members, err := s.members(index)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for i, p := range s.take(members) {
		g.Go(func() error {
			if err := how(p); err != nil {
				return fmt.Errorf("node %d: %w; see %s", i, err, members[slices.IndexFunc(members, func(m member) bool { return m.Index == i })].log())
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), s.publish(false))
}

// Add lets one more node join, and returns when it serves.
func (s *Supervisor) Add(ctx context.Context) error {
	s.mu.Lock()
	l := s.mu.layout
	role := bothRoles
	if l.Members[0].Role != bothRoles {
		role = "target"
	}
	if !l.Formed {
		s.mu.Unlock()
		return errors.New("the cluster has not been made yet; use `aisle dev start` first")
	}
	index := l.add(role)
	if err := l.Members[index].checkPorts(); err != nil {
		l.Members = l.Members[:index]
		s.mu.Unlock()
		return err
	}
	err := l.save()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Start(ctx, index)
}

// Cluster returns what cluster.json says, as of now.
func (s *Supervisor) Cluster() Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster()
}

func (s *Supervisor) cluster() Cluster {
	l := s.mu.layout
	c := Cluster{AccessKey: l.AccessKey, SecretKey: l.SecretKey, Endpoints: []string{}, PIDs: []int{}}
	for i := range l.Members {
		m := &l.Members[i]
		n := Node{Index: i, Role: m.Role, Endpoint: m.endpoint(), Dir: m.Dir, Mountpaths: m.Mountpaths, Log: m.log()}
		n.ID, _ = node.ID(m.Dir) // a node that never ran has none yet
		if p := s.mu.running[i]; p != nil && p.running() {
			n.PID = p.pid()
			c.PIDs = append(c.PIDs, n.PID)
			if m.proxy() {
				c.Endpoints = append(c.Endpoints, n.Endpoint)
			}
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c
}

// publish writes cluster.json; before the cluster has served for the first time there is none.
func (s *Supervisor) publish(serving bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.serving = s.mu.serving || serving
	if !s.mu.serving {
		return nil
	}
	return writeJSON(filepath.Join(s.mu.layout.dir, clusterFile), s.cluster())
}

// anyRunning reports whether a node runs.
func (s *Supervisor) anyRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.running) > 0
}

// Supervise carries out commands until the context ends. A detached supervisor also ends when it has no node left to watch.
func (s *Supervisor) Supervise(ctx context.Context, detached bool) error {
	s.detached = detached
	s.one <- struct{}{}
	idle := time.NewTimer(idleLimit)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.life.Done():
			return nil
		case <-s.changed:
			idle.Reset(idleLimit)
		case <-idle.C:
			idle.Reset(idleLimit)
			select {
			case <-s.one: // no command is being carried out, and no other will be
				if s.done() {
					return nil
				}
				s.one <- struct{}{}
			default:
			}
		}
	}
}

// done reports whether the supervisor has nothing left to do.
func (s *Supervisor) done() bool { return s.detached && !s.anyRunning() }
