package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// command is what an invocation of `aisle dev` asks the supervisor to do.
type command struct {
	Do   string `json:"do"` // status, start, stop, kill, add
	Node int    `json:"node"`
}

// answer is what came of a command.
type answer struct {
	Error   string  `json:"error,omitempty"`
	Gone    bool    `json:"gone,omitempty"` // nothing was done: the supervisor is about to end
	Ends    bool    `json:"ends,omitempty"` // it was done, and the supervisor ends
	Cluster Cluster `json:"cluster"`
}

// errNoSupervisor says that nobody runs the directory.
var errNoSupervisor = errors.New("no `aisle dev` is running")

// shortPath names a file in a directory through a descriptor of the directory, as the path of a socket has at most 107 bytes.
func shortPath(dir, name string) (path string, done func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name), func() { f.Close() }, nil
}

// listen opens the socket of a directory. The directory is locked, so a socket that is there is of one that has died.
func listen(dir string) (net.Listener, error) {
	path, done, err := shortPath(dir, socketFile)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.RemoveAll(filepath.Join(dir, socketFile)); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the path is valid only as long as the descriptor
	return l, os.Chmod(filepath.Join(dir, socketFile), 0o600)
}

// serve answers commands until the supervisor ends.
func (s *Supervisor) serve(l net.Listener) {
	stop := context.AfterFunc(s.life, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.work.Go(func() { s.answer(conn) })
	}
}

func (s *Supervisor) answer(conn net.Conn) {
	defer conn.Close()
	var c command
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return
	}
	if err := json.NewDecoder(conn).Decode(&c); err != nil {
		return
	}
	a := s.do(s.life, c)
	a.Cluster = s.Cluster()
	_ = json.NewEncoder(conn).Encode(a) // whoever asked may have gone
	if a.Ends {
		s.quit()
	}
}

// do carries out one command. It does not give the token back when the supervisor is to end.
func (s *Supervisor) do(ctx context.Context, c command) (a answer) {
	if c.Do == "status" {
		return a
	}
	select {
	case <-s.one:
	case <-ctx.Done():
		return answer{Gone: true}
	}
	if err := s.carryOut(ctx, c); err != nil {
		a.Error = err.Error()
	}
	if a.Ends = (c.Do == "stop" || c.Do == "kill") && s.done(); !a.Ends {
		s.one <- struct{}{}
	}
	return a
}

func (s *Supervisor) carryOut(ctx context.Context, c command) error {
	switch c.Do {
	case "start":
		return s.Start(ctx, c.Node)
	case "stop":
		return s.Stop(c.Node)
	case "kill":
		return s.Kill(c.Node)
	case "add":
		return s.Add(ctx)
	}
	return fmt.Errorf("unknown command %q", c.Do)
}

// ask sends a command to the supervisor of a directory.
func ask(ctx context.Context, dir string, c command) (Cluster, error) {
	path, done, err := shortPath(dir, socketFile)
	if err != nil {
		return Cluster{}, errNoSupervisor
	}
	defer done()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return Cluster{}, errNoSupervisor
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(c); err != nil {
		return Cluster{}, errNoSupervisor
	}
	var a answer
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return Cluster{}, cluster.Fail("dev.ask", dir, cluster.KindUnavailable, "the supervisor ended before it answered")
	}
	switch {
	case a.Gone:
		return Cluster{}, errNoSupervisor
	case a.Error != "":
		return a.Cluster, errors.New(a.Error)
	case a.Ends:
		return a.Cluster, awaitEnd(dir)
	}
	return a.Cluster, nil
}

// awaitEnd returns when a supervisor that said that it ends has given the directory free.
func awaitEnd(dir string) error {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer lock.Close()
	if !flock(lock, stopLimit) {
		return errors.New("the supervisor has stopped its nodes and does not end")
	}
	return nil
}

// Status returns what runs. Without a supervisor nothing does.
func Status(ctx context.Context, dir string) (Cluster, error) {
	c, err := ask(ctx, dir, command{Do: "status"})
	if !errors.Is(err, errNoSupervisor) {
		return c, err
	}
	l, err := readLayout(dir)
	if err != nil {
		return c, noCluster(dir, err)
	}
	s := &Supervisor{}
	s.mu.layout = l
	return s.cluster(), nil
}

func noCluster(dir string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no dev cluster in %s; make one with: aisle dev --dir %s", dir, dir)
	}
	return err
}

// Do has the supervisor of a directory start, stop or kill a node (-1: all), or add one, and returns what runs then.
func Do(ctx context.Context, dir, what string, node int) (Cluster, error) {
	c, err := ask(ctx, dir, command{Do: what, Node: node})
	if errors.Is(err, errNoSupervisor) {
		if _, missing := readLayout(dir); missing != nil {
			return c, noCluster(dir, missing)
		}
	}
	return c, err
}

// NotRunning reports whether an error of Do says that no supervisor runs.
func NotRunning(err error) bool { return errors.Is(err, errNoSupervisor) }
