package httpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// pairRole and pairOwner make this test binary an owner, or a gateway before an owner, for BenchmarkRelayPair.
const (
	pairRole  = "AISLE_HTTPD_PAIR_ROLE"
	pairOwner = "AISLE_HTTPD_PAIR_OWNER"
	pairFile  = "AISLE_HTTPD_PAIR_FILE"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(pairRole); role != "" {
		if err := runPairNode(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// runPairNode serves until its standard input ends. The query of a request is the number of bytes wanted.
func runPairNode(role string) error {
	file, err := os.Open(os.Getenv(pairFile))
	if err != nil {
		return err
	}
	defer file.Close()
	client := NewClient(ClientOptions{})
	defer client.Close()
	owner := os.Getenv(pairOwner)
	server := NewServer(Options{Handler: func(ctx context.Context, req *Request, rep *Reply) error {
		if role == "gateway" {
			return client.Relay(ctx, owner, req, rep, Field{"Aisle-Ticket", strings.Repeat("t", 400)})
		}
		n, err := strconv.ParseInt(req.Query, 10, 64)
		rep.SetHeader("ETag", `"0123456789abcdef0123456789abcdef"`)
		rep.SetHeader("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		rep.Stream(n, FileBody(file, 0, n, false))
		return err
	}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Shutdown(context.Background())
	}()
	return server.Serve(ln)
}

// pairNode is a process of BenchmarkRelayPair.
type pairNode struct {
	addr string
	pid  int
}

func startPairNode(b *testing.B, role, owner, file string) pairNode {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), pairRole+"="+role, pairOwner+"="+owner, pairFile+"="+file)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return pairNode{strings.TrimSpace(addr), cmd.Process.Pid}
}

// cpu returns the processor time that the process has used.
func (n pairNode) cpu(b *testing.B) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// BenchmarkRelayPair measures the processor time of an owner asked directly, and of owner and gateway together when the
// gateway relays, each a process of its own. The ratio must stay at most 2.5 for 4 and 64 KiB and 3 for 16 MiB.
func BenchmarkRelayPair(b *testing.B) {
	file := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(file, make([]byte, 16<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	owner := startPairNode(b, "owner", "", file)
	gateway := startPairNode(b, "gateway", owner.addr, file)
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			request := strings.Replace(s3Get, "x-id=GetObject", strconv.Itoa(size), 1)
			n := max(b.N, 16)
			start := owner.cpu(b)
			getParallel(b, owner.addr, request, size, n)
			local := owner.cpu(b) - start
			start = owner.cpu(b) + gateway.cpu(b)
			getParallel(b, gateway.addr, request, size, n)
			relayed := owner.cpu(b) + gateway.cpu(b) - start
			b.ReportMetric(float64(local.Microseconds())/float64(n), "local-cpu-us/op")
			b.ReportMetric(float64(relayed.Microseconds())/float64(n), "relay-cpu-us/op")
			b.ReportMetric(float64(relayed)/float64(local), "ratio")
		})
	}
}

// getParallel makes n requests on 16 connections.
func getParallel(b *testing.B, addr, request string, size, n int) {
	var wait sync.WaitGroup
	for i := range 16 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		wait.Go(func() {
			defer nc.Close()
			getMany(b, nc, request, size, (n+i)/16)
		})
	}
	wait.Wait()
}
