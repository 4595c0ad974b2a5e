package dev

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Detached is the environment variable that tells a supervisor that it runs in the background: descriptor 3 takes its
// first and only message.
const Detached = "AISLE_DEV_DETACHED"

// Detach runs this program with the given arguments as a supervisor in the background, and returns when its cluster
// serves.
func Detach(ctx context.Context, binary string, args []string, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), Detached+"=1")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { read.Close() })
	defer stop()
	text, err := bufio.NewReader(read).ReadString(0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	switch message := strings.Trim(text, "\x00\n"); {
	case ctx.Err() != nil:
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return ctx.Err()
	case err != nil:
		return err
	case message == "":
		return fmt.Errorf("the supervisor ended at once; see %s", log.Name())
	case message != serves:
		return errors.New(message)
	}
	return cmd.Process.Release()
}

const serves = "serves"

// Report tells whoever detached this supervisor what became of it.
func Report(err error) {
	f := os.NewFile(3, "report")
	if f == nil {
		return
	}
	message := serves
	if err != nil {
		message = err.Error()
	}
	fmt.Fprint(f, message+"\x00")
	f.Close()
}

// KeepReport keeps the descriptor that Report writes to from the nodes.
func KeepReport() { unix.CloseOnExec(3) }
