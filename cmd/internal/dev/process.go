package dev

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// spawner starts processes that the kernel kills when this process ends. Linux ties that to the thread that started them,
// so one goroutine keeps a thread for it.
type spawner struct {
	requests chan func()
	done     chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for request := range s.requests {
			request()
		}
	}()
	return s
}

// close ends the spawner's thread, and with it every process that it started.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// process is a node that was started.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed after err is set
	err   error
}

// start runs a command in a process group of its own, so that Ctrl-C reaches the supervisor only; its output is appended to a file.
func (s *spawner) start(binary string, args, env []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	s.requests <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop asks a process to end, waits, and kills it when that takes too long.
func (p *process) stop(limit time.Duration) error {
	// A process that is stopped by SIGSTOP would not see SIGTERM.
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.how()
	case <-timer.C:
		p.kill()
		return fmt.Errorf("it did not stop within %s and was killed", limit)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// how returns nil when a process ended as it should.
func (p *process) how() error {
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.ExitCode() == 130 { // interrupted, as it was told
		return nil
	}
	return p.err
}
