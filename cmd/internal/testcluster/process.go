package testcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// spawner starts processes that the kernel kills when this one ends in whatever way. Linux ties that to the thread that
// started them, so one goroutine keeps a thread for it.
type spawner struct {
	requests chan func()
	done     chan struct{}
	mu       struct {
		sync.Mutex
		running map[*process]bool
	}
}

// process is a child whose end somebody waits for.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended; set before ended is closed
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), done: make(chan struct{})}
	s.mu.running = make(map[*process]bool)
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for request := range s.requests {
			request()
		}
	}()
	return s
}

// start runs a command whose output is appended to a file.
func (s *spawner) start(command, env []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	s.requests <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	s.mu.Lock()
	s.mu.running[p] = true
	s.mu.Unlock()
	go func() {
		p.err = cmd.Wait()
		s.mu.Lock()
		delete(s.mu.running, p)
		s.mu.Unlock()
		close(p.ended)
	}()
	return p, nil
}

// close kills what still runs, with its process group, and waits for it.
func (s *spawner) close() {
	s.mu.Lock()
	var running []*process
	for p := range s.mu.running {
		running = append(running, p)
	}
	s.mu.Unlock()
	for _, p := range running {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
	for _, p := range running {
		_ = p.wait(10 * time.Second)
	}
	close(s.requests)
	<-s.done
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

func (p *process) exited() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

var errStillRunning = errors.New("still running")

// wait waits for the end of the process and returns how it ended.
func (p *process) wait(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-timer.C:
		return fmt.Errorf("process %d: %w after %s", p.pid(), errStillRunning, limit)
	}
}
